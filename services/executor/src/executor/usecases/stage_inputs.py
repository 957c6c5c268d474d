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
from executor.clients.artifacts import Artifacts, DigestMismatch, DownloadRefused, StorageUnavailable
from executor.clients.comfyui import STAGED_TYPE, ComfyUI, FileTooLarge, FileUnavailable
from executor.clients.comfyui_responses import NodeUnavailable
from executor.domain.attempt_result import NODE_UNREACHABLE, AttemptResult, build_node_fault, build_workflow_failure
from executor.domain.catalog import STAGING_FOLDER
from executor.usecases.retries import TRANSFERS, is_temporary

MAX_ATTEMPTS = 4  # failures that may be temporary: wrong bytes from storage, refusal by the node
BASE_S = 60.0  # seconds of one transfer, plus its size at the minimum rate
MIN_BYTES_PER_S = 64 << 10
FIRST_SERVER_ERROR = 500  # statuses from here on are server errors

UPLOAD_GONE = build_workflow_failure("input.gone", "An upload that this job uses is no longer there. Upload it again.")
UPLOAD_UNREADABLE = build_node_fault("input.unreadable", "An upload that this job uses cannot be read from the store.")
UPLOAD_REFUSED = build_node_fault("node.fault", "The node does not take an upload that this job uses.")
UPLOAD_TOO_LARGE = build_workflow_failure(
    "input.too_large",
    "An upload that this job uses is larger than the node takes. Send a smaller file, or ask the operator to start "
    "ComfyUI with a larger --max-upload-size.",
)
UPLOAD_LOST = build_node_fault("node.fault", "The node lost an upload that this job uses.")

TEMPORARY = (
    StorageUnavailable,
    NodeUnavailable,
    DownloadRefused,
    DigestMismatch,
)  # each within the bounds of ``_FailureBudget``


class StagingFailed(Exception):
    """The node cannot get its files, so the attempt ends."""

    def __init__(self, result: AttemptResult) -> None:
        super().__init__(result.error.message if result.error else result.outcome)
        self.result = result


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A file on the node."""

    name: str
    size_bytes: int

    @property
    def graph_value(self) -> str:
        """Its name in a graph, with its folder, as every stock class with a file input accepts it."""
        return f"{STAGING_FOLDER}/{self.name} [{STAGED_TYPE}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputStager:
    """Transfers uploads from storage to the node. Files that the node already has are not sent again.

    Attributes:
        unreachable_s: how long the node may be unreachable meanwhile.
    """

    bus: Bus
    node: ComfyUI
    artifacts: Artifacts
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
            except TEMPORARY as error:
                budget.count_failure(error)
                raise
            return staged

        return await TRANSFERS.on(TEMPORARY)(stage_once)

    async def has_files(self, staged: Mapping[str, StagedFile]) -> bool:
        """Whether the node still has every file."""
        try:
            return all(
                [await self.node.has_input(STAGING_FOLDER, file.name, file.size_bytes) for file in staged.values()]
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
        if not await self.node.has_input(STAGING_FOLDER, file.name, file.size_bytes):
            within_s = BASE_S + grant.size_bytes / MIN_BYTES_PER_S
            async with self._download_file(grant, within_s) as content:
                try:
                    await self.node.upload_input(STAGING_FOLDER, file.name, content, file.size_bytes)
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
    """Bounds how often and how long staging may fail, per cause."""

    def __init__(self, unreachable_s: float) -> None:
        self._unreachable_s, self._attempts, self._away_since = unreachable_s, 0, time.monotonic()

    def count_failure(self, error: StorageUnavailable | NodeUnavailable | DownloadRefused | DigestMismatch) -> None:
        """Count a failure.

        Raises:
            StagingFailed: the limit is exceeded.
        """
        if isinstance(error, NodeUnavailable) and not error.may_have_arrived:
            if time.monotonic() - self._away_since > self._unreachable_s:
                raise StagingFailed(NODE_UNREACHABLE) from error
            return
        self._away_since = time.monotonic()
        if isinstance(error, StorageUnavailable):
            return
        self._attempts += 1
        if self._attempts >= MAX_ATTEMPTS:
            raise StagingFailed(UPLOAD_REFUSED if isinstance(error, NodeUnavailable) else UPLOAD_UNREADABLE) from error
