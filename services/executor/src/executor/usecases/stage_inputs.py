"""Transfers an attempt's uploads to the node."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO
from uuid import UUID

from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.gateway.transfers import GRANT_INPUTS, GrantInputs, InputGrant
from contracts.scheduler.attempts import AttemptRef
from contracts.wire.errors import HTTP_STATUS, ErrorKind, Refusal
from executor.clients.artifacts import ArtifactClient, DigestMismatch, DownloadRefused, StorageUnavailable
from executor.clients.comfyui import STAGED_TYPE, ComfyUIClient, FileTooLarge, FileUnavailable
from executor.clients.comfyui_responses import NodeUnavailable
from executor.domain.attempt_result import NODE_UNREACHABLE, AttemptResult, build_node_fault, build_workflow_failure
from executor.domain.catalog import STAGING_FOLDER
from executor.usecases.retries import TRANSFER_RETRIES, is_temporary

MAX_FAILURES = 4  # failures that may be temporary: wrong bytes from storage, refusal by the node
BASE_TIMEOUT_S = 60.0  # timeout of one transfer, in addition to the time at the minimum rate
MIN_BYTES_PER_S = 64 << 10
FIRST_SERVER_ERROR = 500

UPLOAD_GONE = build_workflow_failure("input.gone", "An upload that this job uses no longer exists. Upload it again.")
UPLOAD_UNREADABLE = build_node_fault("input.unreadable", "An upload that this job uses cannot be read from the store.")
UPLOAD_REFUSED = build_node_fault("node.fault", "The node refused an upload that this job uses.")
UPLOAD_TOO_LARGE = build_workflow_failure(
    "input.too_large",
    "An upload that this job uses is larger than the node accepts. Send a smaller file, or ask the operator to start "
    "ComfyUI with a larger --max-upload-size.",
)
UPLOAD_LOST = build_node_fault("node.fault", "The node lost an upload that this job uses.")

# Each is retried within the bounds of ``_FailureBudget``.
RETRIED_ERRORS = (StorageUnavailable, NodeUnavailable, DownloadRefused, DigestMismatch)


class StagingFailed(Exception):
    """The node cannot get the input files, or must not run the graph, so the attempt ends."""

    def __init__(self, result: AttemptResult) -> None:
        super().__init__(result.error.message if result.error else result.outcome)
        self.result = result


@dataclass(frozen=True, slots=True)
class StagedFile:
    """An upload that was transferred to the node."""

    name: str
    size_bytes: int

    @property
    def graph_value(self) -> str:
        """The value of a file input that refers to it: its name with its folder, which every stock class accepts."""
        return f"{STAGING_FOLDER}/{self.name} [{STAGED_TYPE}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputStager:
    """Transfers uploads from storage to the node. Files that the node already has are not sent again.

    Attributes:
        unreachable_s: how long the node may be unreachable before the attempt ends.
    """

    bus: Bus
    node: ComfyUIClient
    artifacts: ArtifactClient
    node_name: str
    unreachable_s: float

    async def stage_files(self, ref: AttemptRef, inputs: tuple[UUID, ...]) -> dict[str, StagedFile]:
        """Return the staged files by upload id. Waits for an unavailable gateway or storage as long as the lease lasts.

        Raises:
            StagingFailed: a file is gone, or the node refuses it.
        """
        staged: dict[str, StagedFile] = {}
        budget = _FailureBudget(self.unreachable_s)

        async def stage_once() -> dict[str, StagedFile]:
            try:
                for grant in await self._request_grants(ref, inputs):
                    if str(grant.id) not in staged:
                        staged[str(grant.id)] = await self._stage_file(grant)
            except RETRIED_ERRORS as error:
                budget.count_failure(error)
                raise
            return staged

        return await TRANSFER_RETRIES.on(RETRIED_ERRORS)(stage_once)

    async def has_files(self, staged: Mapping[str, StagedFile]) -> bool:
        """Whether the node still has every file."""
        try:
            return all(
                [await self.node.has_input_file(STAGING_FOLDER, file.name, file.size_bytes) for file in staged.values()]
            )
        except NodeUnavailable:
            return False

    async def _request_grants(self, ref: AttemptRef, inputs: tuple[UUID, ...]) -> tuple[InputGrant, ...]:
        try:
            request = GrantInputs(job_id=ref.job_id)
            reply = await self.bus.request(GRANT_INPUTS, request, tenant=str(ref.tenant_id), key=self.node_name)
        except Refusal as refusal:
            if refusal.details.kind is ErrorKind.NOT_FOUND:
                raise StagingFailed(UPLOAD_GONE) from refusal
            if not is_temporary(refusal):
                raise DownloadRefused(HTTP_STATUS[refusal.details.kind]) from refusal
            raise StorageUnavailable(refusal.details.code) from refusal
        granted = {grant.id: grant for grant in reply.grants}
        if not granted.keys() >= {*inputs}:
            raise StagingFailed(UPLOAD_GONE)
        return tuple(granted[upload] for upload in inputs)

    async def _stage_file(self, grant: InputGrant) -> StagedFile:
        file = StagedFile(grant.name, grant.size_bytes)
        if not await self.node.has_input_file(STAGING_FOLDER, file.name, file.size_bytes):
            within_s = BASE_TIMEOUT_S + grant.size_bytes / MIN_BYTES_PER_S
            async with self._download_file(grant, within_s) as content:
                try:
                    await self.node.upload_input_file(STAGING_FOLDER, file.name, content, file.size_bytes)
                except FileTooLarge as error:
                    raise StagingFailed(UPLOAD_TOO_LARGE) from error
                except FileUnavailable as error:
                    raise StagingFailed(UPLOAD_REFUSED) from error
            log.info("executor.input.staged", upload_id=str(grant.id), bytes=grant.size_bytes)
        return file

    @asynccontextmanager
    async def _download_file(self, grant: InputGrant, within_s: float) -> AsyncIterator[IO[bytes]]:
        download = self.artifacts.download(grant.url, size=grant.size_bytes, sha256=grant.sha256, within_s=within_s)
        try:
            async with download as content:
                yield content
        except DownloadRefused as error:
            if error.status >= FIRST_SERVER_ERROR:
                raise StorageUnavailable(str(error)) from error
            raise


class _FailureBudget:
    """Bounds how often and for how long staging may fail, by cause."""

    def __init__(self, unreachable_s: float) -> None:
        self._unreachable_s, self._failures, self._unreachable_since = unreachable_s, 0, time.monotonic()

    def count_failure(self, error: StorageUnavailable | NodeUnavailable | DownloadRefused | DigestMismatch) -> None:
        """Count a failure.

        Raises:
            StagingFailed: the limit is exceeded.
        """
        if isinstance(error, NodeUnavailable) and not error.may_have_arrived:
            if time.monotonic() - self._unreachable_since > self._unreachable_s:
                raise StagingFailed(NODE_UNREACHABLE) from error
            return
        self._unreachable_since = time.monotonic()
        if isinstance(error, StorageUnavailable):
            return
        self._failures += 1
        if self._failures >= MAX_FAILURES:
            raise StagingFailed(UPLOAD_REFUSED if isinstance(error, NodeUnavailable) else UPLOAD_UNREADABLE) from error
