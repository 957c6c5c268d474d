"""Removes foreign prompts from the node on an operator's command."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime

from chassis.telemetry.logs import log
from executor.clients.comfyui import ComfyUI
from executor.clients.comfyui_answers import NodeAway, Queued, UnusableAnswer
from executor.usecases.at_hand import CurrentAttempt
from executor.usecases.standby import mark_of

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 1.0  # seconds between attempts; a single request may be lost


class ClearNode:
    """Executes the newest clear command.

    Attributes:
        done: time of the newest completed command.
    """

    def __init__(self, node: ComfyUI, *, node_name: str, at_hand: CurrentAttempt, within_s: float) -> None:
        self._node, self._mark, self._at_hand, self._within_s = node, mark_of(node_name), at_hand, within_s
        self._changed: Callable[[], None] = lambda: None
        self._ordered: datetime | None = None
        self.done: datetime | None = None

    def when_changed(self, callback: Callable[[], None]) -> None:
        """Register a callback for a completed command."""
        self._changed = callback

    def order(self, ordered_at: datetime) -> bool:
        """Accept a command. Returns whether it is new."""
        if self._ordered is not None and ordered_at <= self._ordered:
            return False
        self._ordered = ordered_at
        return True

    async def tick(self) -> None:
        """Carry out the pending command, if any."""
        ordered = self._ordered
        if ordered is None or ordered == self.done:
            return
        removed = await self._clear()
        self.done = ordered
        log.info("executor.node.cleared", prompts=removed)
        self._changed()

    async def _clear(self) -> int:
        """Remove foreign prompts repeatedly until none is left. Returns how many there were."""
        deadline, pause = time.monotonic() + self._within_s, FIRST_PAUSE_S
        found: dict[str, None] = {}
        while time.monotonic() < deadline:
            try:
                foreign = await self._foreign()
                if not foreign:
                    break
                found |= dict.fromkeys(item.raw_id for item in foreign)
                for item in foreign:
                    await self._remove(item.raw_id)
            except UnusableAnswer as unusable:  # foreign prompts make the queue too large to read
                log.warning("executor.queue.unusable", why=str(unusable))
                await self._remove("")
            except NodeAway as away:
                log.info("executor.node.silent", why=str(away))
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
        return len(found)

    async def _remove(self, raw_id: str) -> None:
        """Remove a prompt; without a known id all of them, unless the current attempt's prompt may be among them."""
        if raw_id:
            await self._node.remove(raw_id)
        elif self._at_hand.record is None:
            await self._node.remove_all()

    async def _foreign(self) -> Sequence[Queued]:
        return [item for item in await self._node.queue() if not item.client_id.startswith(self._mark)]
