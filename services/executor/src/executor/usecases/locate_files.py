"""Determines which text outputs of a prompt are names of files that it wrote."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from chassis.telemetry.logs import log
from executor.clients.comfyui import ComfyUIClient
from executor.clients.comfyui_responses import NodeUnavailable
from executor.domain.attempt_result import NODE_LOST
from executor.domain.collect_outputs import FoundOutput, drop_duplicate_files
from executor.domain.named_files import ModifiedTime, NodeFilePath, RunPeriod, is_written_during_prompt
from executor.usecases.retries import TRANSFER_RETRIES
from executor.usecases.upload_output import MAX_FILE_ATTEMPTS, StoringFailed

MAX_LOOKUPS = 200  # texts checked per prompt; further ones stay texts


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLocator:
    """Replaces reported strings that name files with those files.

    Attributes:
        unreachable_s: how long the node may be unreachable before the attempt ends.
    """

    node: ComfyUIClient
    unreachable_s: float

    async def locate_files(self, found: Sequence[FoundOutput], run_period: RunPeriod | None) -> list[FoundOutput]:
        """Replace each text output that names a file with that file, if the prompt wrote it; keep all other outputs.

        Args:
            run_period: when the prompt ran; if unknown, every text stays a text.

        Raises:
            StoringFailed: the node became unreachable.
        """
        if run_period is None:
            return list(found)
        candidates = set(islice((item for item in found if item.possible_files), MAX_LOOKUPS))
        located = [await self._locate_file(item, run_period) if item in candidates else item for item in found]
        return list(drop_duplicate_files(located))

    async def _locate_file(self, item: FoundOutput, run_period: RunPeriod) -> FoundOutput:
        for path in item.possible_files:
            modified = await self._read_modified_time(path)
            if modified is not None and is_written_during_prompt(modified, run_period):
                return item.to_file_output(path)
        return item

    async def _read_modified_time(self, path: NodeFilePath) -> ModifiedTime | None:
        """Return when the node wrote this file; None if the node does not say."""
        failures, unreachable_since = 0, time.monotonic()

        async def read_once() -> ModifiedTime | None:
            nonlocal failures
            try:
                return await self.node.read_modified_time(path)
            except NodeUnavailable as error:
                failures += error.may_have_arrived
                if failures >= MAX_FILE_ATTEMPTS:
                    log.warning("executor.output.lookup_failed", why=str(error), attempts=failures)
                    return None
                if not error.may_have_arrived and time.monotonic() - unreachable_since > self.unreachable_s:
                    raise StoringFailed(NODE_LOST) from error
                raise

        return await TRANSFER_RETRIES.on(NodeUnavailable)(read_once)
