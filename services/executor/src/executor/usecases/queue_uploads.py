"""Stores the outputs of one attempt concurrently, from when the node reports the first one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from typing import NamedTuple

from contracts.scheduler.jobs import JobWarning
from contracts.scheduler.outputs import Output
from executor.domain.attempt_result import build_workflow_failure
from executor.domain.collect_outputs import FoundOutput
from executor.domain.image_quota import QUOTA_CODE, ImageQuota, build_quota_warning
from executor.usecases.output_grants import OutputGrants
from executor.usecases.upload_output import OutputUploader, StoringFailed

MAX_OUTPUTS = 5_000  # outputs of one job: ComfyUI's largest batch; the report fits into a NATS message
TOO_MANY_OUTPUTS = build_workflow_failure("workflow.too_many_outputs", f"A job has at most {MAX_OUTPUTS} outputs.")


NO_IMAGE_QUOTA = build_workflow_failure(
    QUOTA_CODE, "Nothing was stored: today's image quota is used up. The day ends at 00:00 UTC."
)


class StoredOutputs(NamedTuple):
    """The stored outputs, the images they count as, and warnings for the owner."""

    outputs: tuple[Output, ...]
    images: int
    warnings: tuple[JobWarning, ...]


class OutputUploadQueue:
    """Stores outputs concurrently, each once, and never more images than are reserved.

    Args:
        max_concurrent: maximum concurrent transfers.
        quota: decides which outputs may be stored.
        reserve: reserves this total number of images; returns the number reserved.
    """

    def __init__(
        self,
        uploader: OutputUploader,
        grants: OutputGrants,
        *,
        max_concurrent: int,
        quota: ImageQuota,
        reserve: Callable[[int], Awaitable[int]],
    ) -> None:
        self._uploader, self._grants, self._quota, self._reserve = uploader, grants, quota, reserve
        self._slots = asyncio.Semaphore(max_concurrent)
        self._tasks: dict[FoundOutput, asyncio.Task[Output]] = {}
        self._context = copy_context()  # uploads that events start must log the attempt's fields, too

    def start_uploads(self, found: Sequence[FoundOutput]) -> None:
        """Start to store outputs while the node continues. If the attempt fails, they are not part of its result."""
        for item in found:
            if item not in self._tasks and len(self._tasks) < MAX_OUTPUTS and self._quota.try_admit_output(item):
                upload = self._upload_output(len(self._tasks), item)
                self._tasks[item] = asyncio.create_task(upload, context=self._context.copy())

    async def finish_uploads(self, found: Sequence[FoundOutput]) -> StoredOutputs:
        """Return every output in order once all are stored, without those beyond the quota.

        Raises:
            StoringFailed: an output could not be stored, there are too many, or the quota allows none.
        """
        if len(found) > MAX_OUTPUTS:
            raise StoringFailed(TOO_MANY_OUTPUTS)
        needed = self._quota.recount_images(found)
        if needed > self._quota.reserved_images:
            self._quota.reserved_images = max(await self._reserve(needed), self._quota.reserved_images)
        kept = [item for item in found if self._quota.try_admit_output(item)]
        if found and not kept:
            raise StoringFailed(NO_IMAGE_QUOTA)
        await self._grants.set_output_count(len(self._tasks.keys() | set(kept)))
        self.start_uploads(kept)
        outputs = tuple(await asyncio.gather(*(self._tasks[item] for item in kept)))
        left_out = len(found) - len(kept)
        return StoredOutputs(
            outputs, self._quota.used_images, (build_quota_warning(left_out, len(found)),) if left_out else ()
        )

    async def close(self) -> None:
        """Cancel running transfers."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _upload_output(self, position: int, item: FoundOutput) -> Output:
        async with self._slots:
            return await self._uploader.upload_output(position, item, self._grants)
