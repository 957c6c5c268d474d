"""Whether the node's worker thread is dead, as its own log tells."""

import time

from chassis.telemetry.logs import log
from executor.clients.comfyui import ComfyUI
from executor.clients.comfyui_answers import NodeAway


class WorkerDeath:
    """Looks into the node's log, where a prompt is silent for suspiciously long.

    Args:
        look_every_s: between two looks.
    """

    def __init__(self, node: ComfyUI, *, look_every_s: float) -> None:
        self._node, self._look_every_s = node, look_every_s
        self._look_next = 0.0
        self._posted_since: int | None = None

    async def is_told(self, *, waiting: int) -> bool:
        """Whether the log tells that the worker died under the prompt that runs now.

        A node that does not show its log tells nothing.

        Args:
            waiting: prompts in the queue that do not run.
        """
        if time.monotonic() >= self._look_next:
            self._look_next = time.monotonic() + self._look_every_s
            try:
                self._posted_since = await self._node.prompts_since_death()
            except NodeAway as away:
                log.info("executor.node_log.unread", why=str(away))
        return self._posted_since is not None and self._posted_since <= waiting
