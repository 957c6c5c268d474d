"""Copies outputs of earlier jobs into uploads, so that later jobs can use them as inputs.

The bytes are copied inside the store, unchanged. Purging the earlier job does not affect the copy.
"""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from chassis.ids import new_id
from contracts.gateway.submissions import OUTPUT_PREFIX
from gateway.images.formats import detect_format
from gateway.images.headers import ImageHeader, read_header, read_webp_size
from gateway.storage.artifacts import Artifact, ArtifactRecords
from gateway.storage.byte_range import ByteRange
from gateway.storage.objects import ArtifactStore
from gateway.uploads.file_signatures import SIGNATURE_BYTES, detect_file_type, read_exr_size
from gateway.uploads.store import NewUpload, Upload, UploadStore

COPY_LIFETIME = timedelta(days=1)  # covers the time from a copy to its pin, and from a failure to a requeue
HEADER_BYTES = 1 << 16  # a profile can precede the size of a JPEG


@dataclass(frozen=True, slots=True)
class OutputCopies:
    """Copies each output at most once per tenant, however many jobs refer to it."""

    artifacts: ArtifactRecords
    uploads: UploadStore
    objects: ArtifactStore

    async def copy_output(self, reference: str, *, tenant: str) -> Upload | None:
        """Return the copy of the output in ``output:<id>``; None if the tenant has no such output."""
        artifact = await self.artifacts.find_artifact(UUID(reference.removeprefix(OUTPUT_PREFIX)), tenant_id=tenant)
        if artifact is None:
            return None
        existing = await self.uploads.find_and_extend(tenant, _derive_copy_digest(artifact), COPY_LIFETIME)
        if existing is not None:
            return existing
        try:
            return await self._copy_artifact(artifact)
        except FileNotFoundError:
            return None  # its job was purged meanwhile

    async def _copy_artifact(self, artifact: Artifact) -> Upload | None:
        if not artifact.size_bytes:
            return None
        prefix = await self.objects.read_range(artifact.key, ByteRange(0, min(artifact.size_bytes, HEADER_BYTES)))
        content_type, size = _detect_type(prefix, artifact)
        upload_id = new_id()
        new = NewUpload(
            id=upload_id,
            tenant_id=artifact.tenant_id,
            sent_sha256=_derive_copy_digest(artifact),
            sha256=artifact.sha256,
            key=f"{artifact.tenant_id}/uploads/{upload_id}",
            content_type=content_type,
            size_bytes=artifact.size_bytes,
            width=size[0] if size else None,
            height=size[1] if size else None,
            exact=True,
            source_job_id=artifact.job_id,
        )
        await self.objects.copy(artifact.key, new.key)
        upload, is_new = await self.uploads.add_or_extend(new, COPY_LIFETIME)
        if not is_new:
            await self.objects.delete(new.key)
        return upload


def _derive_copy_digest(artifact: Artifact) -> str:
    """Return the ``sent_sha256`` of a copy.

    It differs from that of an upload of the same bytes, which is re-encoded.
    """
    return hashlib.sha256(f"{OUTPUT_PREFIX}{artifact.id} {artifact.sha256}".encode()).hexdigest()


def _detect_type(prefix: bytes, artifact: Artifact) -> tuple[str, tuple[int, int] | None]:
    """Return the media type by content, or as the executor reported it if unknown; and the size of an image."""
    image_format = detect_format(prefix[:12])
    if image_format is not None:
        header = read_header(prefix, is_complete=len(prefix) == artifact.size_bytes)
        if isinstance(header, ImageHeader):
            return image_format.media_type, (header.width, header.height)
        canvas = read_webp_size(prefix)
        return image_format.media_type, canvas if isinstance(canvas, tuple) else None
    file_type = detect_file_type(prefix[:SIGNATURE_BYTES], artifact.size_bytes)
    if file_type is None:
        return artifact.content_type, None
    return file_type.media_type, read_exr_size(prefix)
