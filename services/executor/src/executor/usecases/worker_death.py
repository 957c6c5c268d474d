"""Detects a dead worker thread in the node's log."""

import time

from chassis.telemetry.logs import log
from executor.clients.comfyui import ComfyUI
from executor.clients.comfyui_answers import NodeAway


class WorkerDeath:
    """Reads the node's log when a prompt is suspiciously silent.

    Args:
        look_every_s: minimum interval between two readings.
    """

    def __init__(self, node: ComfyUI, *, look_every_s: float) -> None:
        self._node, self._look_every_s = node, look_every_s
        self._look_next = 0.0
        self._posted_since: int | None = None

    async def is_told(self, *, waiting: int) -> bool:
        """Whether the log shows that the worker died during the running prompt.

        A node that does not expose its log shows nothing.

        Args:
            waiting: number of pending prompts.
        """
        if time.monotonic() >= self._look_next:
            self._look_next = time.monotonic() + self._look_every_s
            try:
                self._posted_since = await self._node.prompts_since_death()
            except NodeAway as away:
                log.info("executor.node_log.unread", why=str(away))
        return self._posted_since is not None and self._posted_since <= waiting
