"""Streams a prompt's outputs to storage."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from contracts.gateway.transfers import OutputGrant, StoredOutput
from contracts.scheduler.outputs import Output
from contracts.wire.errors import Refusal
from executor.clients.artifacts import ArtifactClient, StorageUnavailable, TooLarge, UploadRefused
from executor.clients.comfyui import ComfyUIClient, FileNameRefused, FileReplaced, FileUnavailable
from executor.clients.comfyui_responses import NodeUnavailable
from executor.domain.attempt_result import (
    NODE_LOST,
    AttemptResult,
    build_broken_node_fault,
    build_node_fault,
    build_workflow_failure,
)
from executor.domain.collect_outputs import FoundOutput
from executor.domain.inline_values import extract_inline_value
from executor.usecases.output_grants import OutputGrants
from executor.usecases.retries import TRANSFER_RETRIES
from executor.usecases.watch_occupancy import OccupancyMonitor

MAX_FILE_ATTEMPTS = 4  # downloads; a new file may become visible late on a network disk
BASE_TIMEOUT_S = 120.0  # timeout of one transfer, in addition to the time at the minimum rate
MIN_BYTES_PER_S = 64 << 10
STALE_GRANT_STATUSES = frozenset({401, 403, 404, 409, 410})  # expired or revoked grant

FILE_UNAVAILABLE = build_broken_node_fault("node.fault", "The node does not return a file that it produced.")
# Files outside of the attempt's folder are named by the workflow, so they do not count towards cordoning the node.
OTHER_FILE_UNAVAILABLE = build_node_fault("node.fault", "The node no longer returns a file that the job wrote.")
OUTPUT_TOO_LARGE = build_workflow_failure("workflow.output_too_large", "An output exceeds the size limit of outputs.")
FILE_NAME_REFUSED = build_workflow_failure(
    "workflow.output_name_invalid",
    "The node does not return a file that the workflow saved, because of its name: it is not UTF-8, has two dots in a "
    "row, or leaves the node's folders. Save it under another name.",
)
STORAGE_UNAVAILABLE = build_node_fault(
    "job.storage_unavailable",
    "The outputs could not be stored: the server's storage was full or unavailable for too long.",
)
GRANT_REFUSED = build_node_fault("node.fault", "The gateway refused to store the outputs of the job.")


class StoringFailed(Exception):
    """The outputs cannot be stored, so the attempt ends."""

    def __init__(self, result: AttemptResult) -> None:
        super().__init__(result.error.message if result.error else result.outcome)
        self.result = result


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputUploader:
    """Streams outputs from the node to storage.

    Attributes:
        unreachable_s: how long the node may be unreachable before the attempt ends.
        storage_wait_s: how long an output waits for unavailable storage.
        occupancy: records that outputs wait for storage.
    """

    node: ComfyUIClient
    artifacts: ArtifactClient
    output_max_bytes: int
    unreachable_s: float
    storage_wait_s: float
    occupancy: OccupancyMonitor

    async def upload_output(self, position: int, item: FoundOutput, grants: OutputGrants) -> Output:
        """Store one output. Waits for unavailable storage.

        Args:
            position: index of its grant.

        Raises:
            StoringFailed: the node no longer has it, it is too large, or storage was unavailable for too long.
        """
        if not item.is_downloadable:
            raise StoringFailed(FILE_NAME_REFUSED)
        attempts, unreachable_since = 0, time.monotonic()
        began = unreachable_since

        async def upload_once() -> Output:
            nonlocal attempts, unreachable_since
            grant = await _get_grant(grants, position)
            try:
                return _build_output(item, await self._transfer_output(item, grant), grant)
            except TooLarge:
                raise StoringFailed(OUTPUT_TOO_LARGE) from None
            except FileUnavailable as error:
                attempts += 1
                if attempts >= MAX_FILE_ATTEMPTS:
                    raise StoringFailed(_get_fault_of_missing_file(item)) from error
                raise
            except NodeUnavailable as error:
                attempts += error.may_have_arrived
                self._raise_if_exhausted(error, attempts, unreachable_since, item)
                raise
            except (UploadRefused, StorageUnavailable) as error:
                # A storage fault is not the job's: retry while the lease is held, for a limited time.
                attempts, unreachable_since = 0, time.monotonic()
                await self._handle_refusal(error, grant, grants, waited_s=unreachable_since - began)
                raise

        return await TRANSFER_RETRIES.on((FileUnavailable, NodeUnavailable, UploadRefused, StorageUnavailable))(
            upload_once
        )

    def _raise_if_exhausted(
        self, error: NodeUnavailable, attempts: int, unreachable_since: float, item: FoundOutput
    ) -> None:
        if not error.may_have_arrived and time.monotonic() - unreachable_since > self.unreachable_s:
            raise StoringFailed(NODE_LOST) from error
        if attempts >= MAX_FILE_ATTEMPTS:
            raise StoringFailed(_get_fault_of_missing_file(item)) from error

    async def _handle_refusal(
        self, error: UploadRefused | StorageUnavailable, grant: OutputGrant, grants: OutputGrants, *, waited_s: float
    ) -> None:
        if isinstance(error, UploadRefused):
            if error.status == 413:
                raise StoringFailed(OUTPUT_TOO_LARGE) from error
            if error.status in STALE_GRANT_STATUSES:
                await grants.invalidate_grant(grant)
                return
        self.occupancy.record_storage_wait(str(error))
        if waited_s > self.storage_wait_s:
            raise StoringFailed(STORAGE_UNAVAILABLE) from error

    async def _transfer_output(self, item: FoundOutput, grant: OutputGrant) -> StoredOutput:
        if item.content is not None:
            return await self._upload_chunks(grant, item, _iterate_single_chunk(item.content), len(item.content))
        try:
            async with self.node.download_file(item) as file:
                return await self._upload_chunks(grant, item, file.chunks, file.size)
        except FileNameRefused as error:
            raise StoringFailed(FILE_NAME_REFUSED) from error
        except FileReplaced as error:
            raise StoringFailed(OTHER_FILE_UNAVAILABLE) from error

    async def _upload_chunks(
        self, grant: OutputGrant, item: FoundOutput, chunks: AsyncIterator[bytes], size: int | None
    ) -> StoredOutput:
        expected = self.output_max_bytes if size is None else min(size, self.output_max_bytes)
        return await self.artifacts.upload(
            grant.url,
            chunks,
            size=size,
            content_type=item.content_type,
            max_bytes=self.output_max_bytes,
            within_s=BASE_TIMEOUT_S + expected / MIN_BYTES_PER_S,
        )


def _get_fault_of_missing_file(item: FoundOutput) -> AttemptResult:
    return FILE_UNAVAILABLE if item.modified is None else OTHER_FILE_UNAVAILABLE


async def _get_grant(grants: OutputGrants, position: int) -> OutputGrant:
    try:
        return await grants.get_grant(position)
    except Refusal as refusal:
        raise StoringFailed(GRANT_REFUSED) from refusal


async def _iterate_single_chunk(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _build_output(item: FoundOutput, stored: StoredOutput, grant: OutputGrant) -> Output:
    return Output(
        id=grant.id,
        node_id=item.node_id,
        name=item.name,
        kind=item.kind,
        content_type=item.content_type,
        size_bytes=stored.size_bytes,
        sha256=stored.sha256,
        temporary=item.temporary,
        source=item.source,
        key=item.key or None,
        position=item.position,
        value=extract_inline_value(item),
    )
