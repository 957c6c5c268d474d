"""Receives the outputs of attempts from executors."""

import hashlib
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
from gateway.storage.objects import ArtifactStore
from gateway.transfers import output_token
from gateway.transfers.errors import OutputTooLarge
from gateway.transfers.output_token import OutputTokenClaims


@dataclass(frozen=True, slots=True)
class OutputUploads:
    """Creates links for outputs, and stores their bytes.

    Attributes:
        keys: sign links.
        origin: of links, as executors reach this gateway.
        link_s: lifetime of a link, seconds.
        max_bytes: of one output.
    """

    artifacts: ArtifactRecords
    objects: ArtifactStore
    keys: SigningKeys
    origin: str
    link_s: float
    max_bytes: int

    def grant(self, request: GrantOutputs, tenant: UUID) -> OutputsGranted:
        """Return a link for each output, valid only for that output. Nothing is written."""
        expires_s = int(time.time() + self.link_s)
        rights = [
            OutputTokenClaims(tenant, request.job_id, request.attempt, output_id=new_id(), expires_s=expires_s)
            for _ in range(request.count)
        ]
        return OutputsGranted(
            grants=tuple(
                OutputGrant(
                    id=right.output_id, url=f"{self.origin}/internal/outputs/{output_token.sign(self.keys, right)}"
                )
                for right in rights
            ),
            expires_at=datetime.fromtimestamp(expires_s, UTC),
        )

    async def store(
        self, token: str, chunks: AsyncIterator[bytes], content_type: str, *, size_bytes: int
    ) -> StoredOutput:
        """Store the bytes of one output durably, then record it.

        Sending an output again replaces it. If ``chunks`` raises, nothing is stored.

        Args:
            token: of the link.
            chunks: the bytes.
            content_type: as the executor reported it.
            size_bytes: size that the executor announced, 0 if unknown.

        Raises:
            BadOutputToken: the link is invalid or has expired.
            StorageFull, StoreMismatch: it cannot be stored now.
            OutputTooLarge: more than ``max_bytes``.
            UnknownJob: the job was purged meanwhile.
        """
        right = output_token.verify(self.keys, token, now_s=time.time())
        self.objects.status.check_output(size_bytes)
        meter = _MeasuredBody(chunks, self.max_bytes)
        await self.objects.put(right.key, meter.chunks())
        stored = StoredOutput(id=right.output_id, size_bytes=meter.size_bytes, sha256=meter.digest.hexdigest())
        artifact = Artifact(
            id=right.output_id,
            tenant_id=right.tenant_id,
            job_id=right.job_id,
            attempt=right.attempt,
            key=right.key,
            content_type=content_type,
            size_bytes=stored.size_bytes,
            sha256=stored.sha256,
        )
        if not await self.artifacts.put(artifact):
            await self.objects.delete(right.key)
            raise UnknownJob
        log.info("gateway.output.stored", job_id=str(right.job_id), attempt=right.attempt, bytes=stored.size_bytes)
        return stored


class _MeasuredBody:
    """Counts and hashes the bytes that pass through."""

    def __init__(self, chunks: AsyncIterator[bytes], max_bytes: int) -> None:
        self._source, self._max_bytes = chunks, max_bytes
        self.size_bytes = 0
        self.digest = hashlib.sha256()

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._source:
            self.size_bytes += len(chunk)
            if self.size_bytes > self._max_bytes:
                raise OutputTooLarge(limit=self._max_bytes)
            self.digest.update(chunk)
            yield chunk
