"""Removes foreign prompts from the node on an operator's command."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime

from chassis.telemetry.logs import log
from executor.clients.comfyui import ComfyUIClient
from executor.clients.comfyui_responses import NodeUnavailable, QueuedPrompt, UnreadableResponse
from executor.usecases.live_attempts import LiveAttempts
from executor.usecases.standby_socket import build_client_id_prefix

FIRST_PAUSE_S, MAX_PAUSE_S = 0.1, 1.0  # between repetitions; a single request may be lost


class NodeCleaner:
    """Executes the newest clear command.

    Args:
        within_s: time limit of a command, after which it counts as completed.

    Attributes:
        completed_command_at: when the newest completed command was given.
    """

    def __init__(self, node: ComfyUIClient, *, node_name: str, live_attempts: LiveAttempts, within_s: float) -> None:
        self._node, self._client_id_prefix = node, build_client_id_prefix(node_name)
        self._live_attempts, self._within_s = live_attempts, within_s
        self._on_complete: Callable[[], None] = lambda: None
        self._commanded_at: datetime | None = None
        self.completed_command_at: datetime | None = None

    def register_completion_callback(self, callback: Callable[[], None]) -> None:
        """Register a callback that runs after each completed clear command."""
        self._on_complete = callback

    def accept_clear_command(self, commanded_at: datetime) -> bool:
        """Accept a command, unless it or a newer one was accepted before. Returns whether it was accepted."""
        if self._commanded_at is not None and commanded_at <= self._commanded_at:
            return False
        self._commanded_at = commanded_at
        return True

    async def tick(self) -> None:
        """Carry out the pending command, if there is one."""
        commanded_at = self._commanded_at
        if commanded_at is None or commanded_at == self.completed_command_at:
            return
        removed = await self._remove_foreign_prompts()
        self.completed_command_at = commanded_at
        log.info("executor.node.cleared", prompts=removed)
        self._on_complete()

    async def _remove_foreign_prompts(self) -> int:
        """Remove foreign prompts repeatedly until none is left or the time is up. Returns how many were found."""
        deadline, pause = time.monotonic() + self._within_s, FIRST_PAUSE_S
        found: dict[str, None] = {}
        while time.monotonic() < deadline:
            try:
                foreign = await self._list_foreign_prompts()
                if not foreign:
                    break
                found |= dict.fromkeys(item.raw_id for item in foreign)
                for item in sorted(foreign, key=lambda item: item.running):  # else a pending one would start
                    await self._remove_prompt(item.raw_id)
            except UnreadableResponse as unreadable:  # foreign prompts make the queue too large to read
                log.warning("executor.queue.unreadable", why=str(unreadable))
                await self._remove_prompt("")
            except NodeUnavailable as unavailable:
                log.info("executor.node.unavailable", why=str(unavailable))
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE_S)
        return len(found)

    async def _remove_prompt(self, raw_id: str) -> None:
        """Remove the prompt; if its id is unknown (""), all prompts, unless one of our own may be among them."""
        if raw_id:
            await self._node.remove_prompt(raw_id)
        elif not self._live_attempts:
            await self._node.remove_all_prompts()

    async def _list_foreign_prompts(self) -> Sequence[QueuedPrompt]:
        return [item for item in await self._node.read_queue() if not item.client_id.startswith(self._client_id_prefix)]
