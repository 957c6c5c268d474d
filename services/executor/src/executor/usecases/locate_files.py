"""Determines which files that a prompt's history names were written by that prompt."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from chassis.telemetry.logs import log
from executor.clients.comfyui import ComfyUIClient
from executor.clients.comfyui_responses import NodeUnavailable, UnreadableResponse
from executor.domain.attempt_result import NODE_LOST
from executor.domain.collect_outputs import TEMPORARY_TYPE, UnprovenFiles
from executor.domain.named_files import ModifiedTime, NodeFilePath, RunPeriod, is_written_during_prompt
from executor.usecases.retries import TRANSFER_RETRIES
from executor.usecases.upload_output import MAX_FILE_ATTEMPTS, OTHER_FILE_UNAVAILABLE, StoringFailed

MAX_LOOKUPS = 5_000  # objects and strings looked up per prompt, as many as a job has outputs; others are not files
MAX_MISSES = (
    100  # of them that do not name a file of the prompt, after which no others are looked up: they may be guesses
)
MAX_CONCURRENT = 8  # lookups

Answer = TypeVar("Answer")
ReadTime = Callable[[NodeFilePath, float], Awaitable[ModifiedTime | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLocator:
    """Asks the node when files were written.

    Attributes:
        unreachable_s: how long the node may be unreachable, or answer with errors, before the attempt ends.
    """

    node: ComfyUIClient
    unreachable_s: float

    async def find_written_files(
        self, files: UnprovenFiles, run_period: RunPeriod | None, *, prompt_id: str | None
    ) -> dict[NodeFilePath, ModifiedTime]:
        """Return the files that were certainly written while the prompt ran, with their modification times.

        After about ``MAX_MISSES`` objects and strings that name none, no others are looked up.

        Args:
            run_period: when the prompt ran; if unknown, there are none.
            prompt_id: the prompt, whose history entry a node loses when it restarts; None if the entry may be deleted.

        Raises:
            StoringFailed: the node became unreachable or restarted, or did not answer for a file that an object names.
        """
        if run_period is None:
            return {}
        slots, began, misses = asyncio.Semaphore(MAX_CONCURRENT), time.monotonic(), 0
        written, missing = dict[NodeFilePath, ModifiedTime](), set[NodeFilePath]()

        async def find_first_written(named: Sequence[NodeFilePath], read: ReadTime) -> None:
            nonlocal misses
            async with slots:
                if misses >= MAX_MISSES:
                    return
                for path in named:
                    modified = await read(path, began)
                    if modified is None:
                        missing.add(path)
                    elif is_written_during_prompt(modified, run_period):
                        written[path] = modified
                        return
                misses += 1

        await _run_all(find_first_written(named, read) for named, read in self._list_lookups(files)[:MAX_LOOKUPS])
        if prompt_id is not None and _has_previews(missing.intersection(files.of_objects)):
            await self._require_history(prompt_id)
        return written

    def _list_lookups(self, files: UnprovenFiles) -> list[tuple[Sequence[NodeFilePath], ReadTime]]:
        """Return what each object and string may name, those that most likely name a file of the prompt first."""
        return [
            *(([path], self._read_time_of_file) for path in files.of_objects),
            *((named, self._read_time_of_possible_file) for named in files.of_strings),
            *(([path], self._read_time_of_file) for path in files.of_cached),
        ]

    async def _read_time_of_file(self, path: NodeFilePath, _: float) -> ModifiedTime | None:
        """Return when the node wrote a file that an object names; None if there is no such file."""
        return await self._read_with_retries(partial(self.node.read_modified_time, path))

    async def _read_time_of_possible_file(self, path: NodeFilePath, began: float) -> ModifiedTime | None:
        """Return when the node wrote a file that a string may name; None if the node does not say.

        Args:
            began: when the first lookup of the prompt began (monotonic). All lookups share one time limit, because they
                may be many.
        """
        try:
            return await self._read_with_retries(partial(self.node.read_modified_time, path), began)
        except StoringFailed as failed:
            if failed.result is NODE_LOST:
                raise
            return None

    async def _require_history(self, prompt_id: str) -> None:
        """Raise StoringFailed if the node has restarted: it has lost its history and deleted its temporary folder."""
        with suppress(UnreadableResponse):
            if await self._read_with_retries(partial(self.node.read_history, prompt_id)) is None:
                raise StoringFailed(OTHER_FILE_UNAVAILABLE)

    async def _read_with_retries(self, read: Callable[[], Awaitable[Answer]], began: float | None = None) -> Answer:
        """Return the node's answer.

        Args:
            began: start of the time limit ``unreachable_s`` (monotonic, seconds); by default now.

        Raises:
            StoringFailed: the node is unreachable, or answers with errors.
            UnreadableResponse: the answer cannot be parsed.
        """
        failures, unreachable_since = 0, time.monotonic()

        async def read_once() -> Answer:
            nonlocal failures
            try:
                return await read()
            except NodeUnavailable as error:
                if not _is_worth_retrying(error):
                    raise
                failures += error.may_have_arrived
                if not error.may_have_arrived and time.monotonic() - unreachable_since > self.unreachable_s:
                    raise StoringFailed(NODE_LOST) from error
                retried_s = time.monotonic() - (unreachable_since if began is None else began)
                if failures < MAX_FILE_ATTEMPTS or retried_s <= self.unreachable_s:
                    raise
                log.warning("executor.output.lookup_failed", why=str(error), attempts=failures)
                raise StoringFailed(OTHER_FILE_UNAVAILABLE) from error

        return await TRANSFER_RETRIES.on(_is_worth_retrying)(read_once)


async def _run_all(lookups: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run the lookups concurrently. If one fails, cancel the others and raise its error."""
    try:
        async with asyncio.TaskGroup() as group:
            for lookup in lookups:
                group.create_task(lookup)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed


def _has_previews(paths: Iterable[NodeFilePath]) -> bool:
    return any(path.folder == TEMPORARY_TYPE for path in paths)


def _is_worth_retrying(error: Exception) -> bool:
    return isinstance(error, NodeUnavailable) and not isinstance(error, UnreadableResponse)
