"""Finds which texts of a prompt are names of files that it wrote."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from chassis.telemetry.logs import log
from executor.clients.comfyui import ComfyUI
from executor.clients.comfyui_responses import NodeUnavailable
from executor.domain.attempt_result import NODE_LOST
from executor.domain.collect_outputs import FoundOutput, drop_duplicate_files
from executor.domain.named_files import ModifiedTime, NodeFilePath, RunPeriod, is_written_during_prompt
from executor.usecases.retries import TRANSFERS
from executor.usecases.upload_output import MAX_FILE_ATTEMPTS, StoringFailed

MAX_LOOKUPS = 200  # texts checked per prompt; further ones stay texts


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLocator:
    """Replaces reported strings that name files with those files.

    Attributes:
        unreachable_s: how long the node may be unreachable meanwhile.
    """

    node: ComfyUI
    unreachable_s: float

    async def locate_files(self, found: Sequence[FoundOutput], ran: RunPeriod | None) -> list[FoundOutput]:
        """Replace each text output that names a file by that file, if the prompt wrote it; keep all other outputs.

        Args:
            ran: when the prompt ran; when unknown, every text stays a text.

        Raises:
            StoringFailed: the node became unreachable.
        """
        if ran is None:
            return list(found)
        candidates = set(islice((item for item in found if item.possible_files), MAX_LOOKUPS))
        located = [await self._locate_file(item, ran) if item in candidates else item for item in found]
        return list(drop_duplicate_files(located))

    async def _locate_file(self, item: FoundOutput, ran: RunPeriod) -> FoundOutput:
        for place in item.possible_files:
            modified = await self._read_modified_time(place)
            if modified is not None and is_written_during_prompt(modified, ran):
                return item.to_file_output(place)
        return item

    async def _read_modified_time(self, place: NodeFilePath) -> ModifiedTime | None:
        """When the node wrote this file; None where the node cannot tell."""
        attempts, away_since = 0, time.monotonic()

        async def read_once() -> ModifiedTime | None:
            nonlocal attempts
            try:
                return await self.node.read_modified_time(place)
            except NodeUnavailable as error:
                attempts += error.may_have_arrived
                if attempts >= MAX_FILE_ATTEMPTS:
                    log.warning("executor.output.lookup_failed", why=str(error), attempts=attempts)
                    return None
                if not error.may_have_arrived and time.monotonic() - away_since > self.unreachable_s:
                    raise StoringFailed(NODE_LOST) from error
                raise

        return await TRANSFERS.on(NodeUnavailable)(read_once)
