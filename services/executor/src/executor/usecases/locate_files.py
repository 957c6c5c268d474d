"""Finds which texts of a prompt are names of files that it wrote."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from chassis.telemetry.logs import log
from executor.clients.comfyui import ComfyUI
from executor.clients.comfyui_answers import NodeAway
from executor.domain.harvest import Found, each_file_once
from executor.domain.named_files import FilePlace, is_of_prompt
from executor.domain.verdict import LOST
from executor.usecases.retries import TRANSFERS
from executor.usecases.store_output import FILE_TRIES, CannotStore

MOST_LOOKUPS = 200  # texts checked per prompt; further ones stay texts


@dataclass(frozen=True, slots=True, kw_only=True)
class LocateFiles:
    """Replaces reported strings that name files with those files.

    Attributes:
        unreachable_s: how long the node may be unreachable meanwhile.
    """

    node: ComfyUI
    unreachable_s: float

    async def __call__(self, found: Sequence[Found], started_ms: float | None) -> list[Found]:
        """Return the outputs, with the file in place of each text that names one written since the prompt started.

        Args:
            started_ms: when the prompt started by the node's clock; when unknown, every text stays a text.

        Raises:
            CannotStore: the node became unreachable.
        """
        asked = set(islice((item for item in found if item.may_be), MOST_LOOKUPS)) if started_ms is not None else set()
        located = [await self._located(item, started_ms or 0.0) if item in asked else item for item in found]
        return list(each_file_once(located))

    async def _located(self, item: Found, started_ms: float) -> Found:
        for place in item.may_be:
            written_ns = await self._written_ns(place)
            if written_ns is not None and is_of_prompt(written_ns, started_ms):
                return item.as_file(place)
        return item

    async def _written_ns(self, place: FilePlace) -> int | None:
        """When the node wrote this file; None where the node cannot tell."""
        tries, away_since = 0, time.monotonic()

        async def look_once() -> int | None:
            nonlocal tries
            try:
                return await self.node.written_ns(place)
            except NodeAway as error:
                tries += error.heard
                if tries >= FILE_TRIES:
                    log.warning("executor.output.not_located", why=str(error), tries=tries)
                    return None
                if not error.heard and time.monotonic() - away_since > self.unreachable_s:
                    raise CannotStore(LOST) from error
                raise

        return await TRANSFERS.on(NodeAway)(look_once)
