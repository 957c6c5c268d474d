"""Stops one prompt on the node."""

import asyncio
import time

from chassis.telemetry.logs import log
from executor.clients.comfyui import ComfyUIClient
from executor.clients.comfyui_responses import NodeUnavailable, UnreadableResponse
from executor.store.journal import Journal

FIRST_PAUSE_S = 0.05  # seconds; samplers check for interruption at every step
MAX_PAUSE_S = 1.0
MIN_ABSENT_POLLS = 2  # consecutive readings of the queue without the prompt


async def stop_prompt(node: ComfyUIClient, journal: Journal, prompt_id: str, *, within_s: float) -> bool:
    """Cancel a prompt repeatedly until it has left the queue: a single request may be lost.

    The history, which may be megabytes, is not read: a prompt stays in the queue until it has ended.

    Returns:
        Whether it ended in time. If not, it is recorded as orphaned and stopped before the next job.
    """
    deadline, pause, absent = time.monotonic() + within_s, FIRST_PAUSE_S, 0
    journal.add_orphan(prompt_id)
    while time.monotonic() < deadline:
        try:
            await node.cancel_prompt(prompt_id)
            absent = 0 if any(item.prompt_id == prompt_id for item in await node.read_queue()) else absent + 1
            if absent >= MIN_ABSENT_POLLS:
                journal.remove_orphan(prompt_id)
                return True
        except UnreadableResponse as unreadable:
            log.warning("executor.queue.unreadable", prompt_id=prompt_id, why=str(unreadable))
            return False  # a repeated request would fail as well; the prompt is looked for before the next job
        except NodeUnavailable as unavailable:
            log.info("executor.prompt.not_stopped_yet", prompt_id=prompt_id, why=str(unavailable))
        await asyncio.sleep(pause)
        pause = min(2 * pause, MAX_PAUSE_S)
    log.warning("executor.prompt.orphaned", prompt_id=prompt_id)
    return False
