"""Receives the outputs of attempts from executors."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from chassis.ids import new_id
from chassis.telemetry.logs import log
from contracts.gateway.transfers import GrantOutputs, OutputGrant, OutputsGranted, StoredOutput
from contracts.scheduler.jobs import UnknownJob
from gateway.signing.keys import SigningKeys
from gateway.storage.artifacts import Artifact, ArtifactRecords
from gateway.storage.measured_stream import MeasuredStream
from gateway.storage.objects import ArtifactStore
from gateway.transfers import output_token
from gateway.transfers.errors import OutputTooLarge
from gateway.transfers.output_token import OutputTokenClaims


@dataclass(frozen=True, slots=True)
class OutputUploads:
    """Creates links for outputs, and stores their bytes.

    Attributes:
        keys: sign links.
        origin: origin of the links, as executors reach this gateway.
        link_s: lifetime of a link, seconds.
        max_bytes: maximum size of one output.
    """

    artifacts: ArtifactRecords
    objects: ArtifactStore
    keys: SigningKeys
    origin: str
    link_s: float
    max_bytes: int

    def create_upload_links(self, request: GrantOutputs, tenant: UUID) -> OutputsGranted:
        """Return a link for each output, valid only for that output. Nothing is stored yet."""
        expires_s = int(time.time() + self.link_s)
        all_claims = [
            OutputTokenClaims(tenant, request.job_id, request.attempt, output_id=new_id(), expires_s=expires_s)
            for _ in range(request.count)
        ]
        return OutputsGranted(
            grants=tuple(
                OutputGrant(
                    id=claims.output_id, url=f"{self.origin}/internal/outputs/{output_token.sign(self.keys, claims)}"
                )
                for claims in all_claims
            ),
            expires_at=datetime.fromtimestamp(expires_s, UTC),
        )

    async def store_output(
        self, token: str, chunks: AsyncIterator[bytes], content_type: str, *, size_bytes: int
    ) -> StoredOutput:
        """Store the bytes of one output durably, then record it.

        Sending an output again replaces it. If ``chunks`` raises, nothing is stored.

        Args:
            token: token of the link.
            chunks: the bytes.
            content_type: media type that the executor reported.
            size_bytes: size that the executor announced, 0 if unknown.

        Raises:
            BadOutputToken: the link is invalid or has expired.
            StorageFull, StoreMismatch: it cannot be stored now.
            OutputTooLarge: more than ``max_bytes``.
            UnknownJob: the job was purged meanwhile.
        """
        claims = output_token.verify(self.keys, token, now_s=time.time())
        self.objects.status.require_space_for_output(size_bytes)
        measured = MeasuredStream(chunks, self.max_bytes, OutputTooLarge(limit=self.max_bytes))
        await self.objects.put(claims.key, measured.iterate_chunks())
        stored = StoredOutput(id=claims.output_id, size_bytes=measured.size_bytes, sha256=measured.sha256)
        artifact = Artifact(
            id=claims.output_id,
            tenant_id=claims.tenant_id,
            job_id=claims.job_id,
            attempt=claims.attempt,
            key=claims.key,
            content_type=content_type,
            size_bytes=stored.size_bytes,
            sha256=stored.sha256,
        )
        if not await self.artifacts.record(artifact):
            await self.objects.delete(claims.key)
            raise UnknownJob
        log.info("gateway.output.stored", job_id=str(claims.job_id), attempt=claims.attempt, bytes=stored.size_bytes)
        return stored
