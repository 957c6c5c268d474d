"""Sends the uploads of a job to executors."""

import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from contracts.gateway.transfers import GrantInputs, InputGrant, InputsGranted
from gateway.signing.keys import SigningKeys
from gateway.storage.byte_range import ByteRange
from gateway.storage.file_extensions import find_extension
from gateway.storage.objects import ArtifactStore
from gateway.transfers import input_token
from gateway.transfers.input_token import InputTokenClaims
from gateway.uploads.errors import UnknownUpload
from gateway.uploads.store import Upload, UploadStore


@dataclass(frozen=True, slots=True)
class InputDownloads:
    """Creates links for inputs, and serves their bytes.

    Attributes:
        keys: sign links.
        file_name_key: derives the file names that nodes see.
        origin: origin of the links, as executors reach this gateway.
        link_s: lifetime of a link, seconds.
    """

    uploads: UploadStore
    objects: ArtifactStore
    keys: SigningKeys
    file_name_key: bytes
    origin: str
    link_s: float

    async def grant_links(self, request: GrantInputs, tenant: UUID) -> InputsGranted:
        """Return a link for each upload of the tenant that is pinned for the job."""
        expires_s = int(time.time() + self.link_s)
        pinned = await self.uploads.find_pinned_uploads(str(tenant), request.job_id)
        return InputsGranted(
            grants=tuple(self._grant_upload(upload, expires_s) for upload in pinned),
            expires_at=datetime.fromtimestamp(expires_s, UTC),
        )

    async def open_upload(self, token: str) -> tuple[Upload, AsyncIterator[bytes]]:
        """Return an upload and its bytes.

        Raises:
            BadInputToken: the link is invalid or has expired.
            UnknownUpload: the upload was deleted.
        """
        claims = input_token.verify(self.keys, token, now_s=time.time())
        upload = (await self.uploads.find_uploads(str(claims.tenant_id), [claims.upload_id])).get(claims.upload_id)
        if upload is None:
            raise UnknownUpload
        try:
            return upload, await self.objects.stream_range(upload.key, ByteRange(0, upload.size_bytes))
        except FileNotFoundError:
            raise UnknownUpload from None

    def _grant_upload(self, upload: Upload, expires_s: int) -> InputGrant:
        token = input_token.sign(self.keys, InputTokenClaims(upload.tenant_id, upload.id, expires_s))
        return InputGrant(
            id=upload.id,
            url=f"{self.origin}/internal/inputs/{token}",
            name=self._derive_file_name(upload),
            size_bytes=upload.size_bytes,
            sha256=upload.sha256,
        )

    def _derive_file_name(self, upload: Upload) -> str:
        """Return a file name that is equal for equal bytes of a tenant, so that a node gets them once.

        Other tenants cannot guess it. The extension shows the type, which loaders of nodes require.
        """
        secret = hmac.new(self.file_name_key, upload.tenant_id.bytes + bytes.fromhex(upload.sha256), hashlib.sha256)
        return secret.hexdigest()[:32] + find_extension(upload.content_type)
