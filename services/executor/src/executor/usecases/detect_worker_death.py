"""Detects a dead worker thread in the node's log."""

import time

from chassis.telemetry.logs import log
from executor.clients.comfyui import ComfyUIClient
from executor.clients.comfyui_responses import NodeUnavailable


class WorkerDeathDetector:
    """Reads the node's log to find out whether its worker thread is alive.

    Args:
        check_every_s: minimum interval between two readings.
    """

    def __init__(self, node: ComfyUIClient, *, check_every_s: float) -> None:
        self._node, self._check_every_s = node, check_every_s
        self._next_check_at = 0.0
        self._prompts_since_worker_death: int | None = None

    async def is_worker_dead(self, *, pending_count: int) -> bool:
        """Whether the log shows that the worker thread died during the running prompt.

        False if the node does not expose its log.

        Args:
            pending_count: prompts that are pending in the queue. If the log shows more prompts after a death, the death
                is old: a prompt has run since.
        """
        if time.monotonic() >= self._next_check_at:
            self._next_check_at = time.monotonic() + self._check_every_s
            try:
                self._prompts_since_worker_death = await self._node.count_prompts_since_worker_death()
            except NodeUnavailable as unavailable:
                log.info("executor.node_log.read_failed", why=str(unavailable))
        return self._prompts_since_worker_death is not None and self._prompts_since_worker_death <= pending_count
