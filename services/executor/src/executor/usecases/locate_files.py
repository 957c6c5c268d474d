"""Determines which files that a prompt's history names were written by that prompt."""

import asyncio
import time
from dataclasses import dataclass

from chassis.telemetry.logs import log
from executor.clients.comfyui import ComfyUIClient
from executor.clients.comfyui_responses import NodeUnavailable
from executor.domain.attempt_result import NODE_LOST
from executor.domain.collect_outputs import UnprovenFiles
from executor.domain.named_files import ModifiedTime, NodeFilePath, RunPeriod, is_written_during_prompt
from executor.usecases.retries import TRANSFER_RETRIES
from executor.usecases.upload_output import MAX_FILE_ATTEMPTS, OTHER_FILE_UNAVAILABLE, StoringFailed

MAX_LOOKUPS = 5_000  # files looked up per prompt, as many as a job has outputs; further ones are not outputs
MAX_MISSES = 100  # looked-up files that are not outputs, after which no others are looked up: they may be guesses
MAX_CONCURRENT = 8  # lookups


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLocator:
    """Asks the node when files were written.

    Attributes:
        unreachable_s: how long the node may be unreachable, or answer with errors, before the attempt ends.
    """

    node: ComfyUIClient
    unreachable_s: float

    async def find_written_files(
        self, files: UnprovenFiles, run_period: RunPeriod | None
    ) -> dict[NodeFilePath, ModifiedTime]:
        """Return the files that were certainly written while the prompt ran, with their modification times.

        After about ``MAX_MISSES`` files that were not, no others are looked up.

        Args:
            run_period: when the prompt ran; if unknown, there are none.

        Raises:
            StoringFailed: the node became unreachable, or did not answer for a file that an object names.
        """
        if run_period is None:
            return {}
        slots, written = asyncio.Semaphore(MAX_CONCURRENT), dict[NodeFilePath, ModifiedTime]()
        began, of_objects, misses = time.monotonic(), frozenset(files.of_objects), 0

        async def look_up(path: NodeFilePath) -> None:
            nonlocal misses
            async with slots:
                if misses >= MAX_MISSES:
                    return
                is_output = path in of_objects
                modified = await self._read_modified_time(
                    path, is_output=is_output, began=time.monotonic() if is_output else began
                )
            if modified is not None and is_written_during_prompt(modified, run_period):
                written[path] = modified
            else:
                misses += 1

        try:
            async with asyncio.TaskGroup() as lookups:
                for path in files.all[:MAX_LOOKUPS]:
                    lookups.create_task(look_up(path))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        return written

    async def _read_modified_time(self, path: NodeFilePath, *, is_output: bool, began: float) -> ModifiedTime | None:
        """Return when the node wrote this file; None if the node does not say.

        Args:
            is_output: whether the file is probably an output. The attempt fails if the node does not answer for it.
            began: since when lookups have been repeated. They are repeated for at least ``unreachable_s``.
        """
        failures = 0

        async def read_once() -> ModifiedTime | None:
            nonlocal failures
            try:
                return await self.node.read_modified_time(path)
            except NodeUnavailable as error:
                failures += error.may_have_arrived
                if time.monotonic() - began <= self.unreachable_s:
                    raise
                if not error.may_have_arrived:
                    raise StoringFailed(NODE_LOST) from error
                if failures < MAX_FILE_ATTEMPTS:
                    raise
                log.warning("executor.output.lookup_failed", why=str(error), attempts=failures)
                if is_output:
                    raise StoringFailed(OTHER_FILE_UNAVAILABLE) from error
                return None

        return await TRANSFER_RETRIES.on(NodeUnavailable)(read_once)
