"""Have a prompt end on the node, and no other one."""

import asyncio
import time

from chassis.logs import log
from executor.clients.comfyui import ComfyUI, NodeAway
from executor.store.journal import Journal
from executor.usecases.find_prompt import Place, find_prompt

FIRST_PAUSE_S = 0.05  # a sampler looks at the flag at every step
LONGEST_PAUSE_S = 1.0
ABSENT = 2  # looks without finding it


async def stop_prompt(node: ComfyUI, journal: Journal, prompt_id: str, *, within_s: float) -> bool:
    """Cancel a prompt again and again until it is seen to have ended: a single request may be lost.

    Returns:
        Whether it ended within the time. If not it is noted as left behind, to be ended before the next one begins.
    """
    deadline, pause, absent = time.monotonic() + within_s, FIRST_PAUSE_S, 0
    journal.leave(prompt_id)
    while time.monotonic() < deadline:
        try:
            await node.cancel(prompt_id)
            place = (await find_prompt(node, prompt_id)).place
            absent = absent + 1 if place is Place.NOWHERE else 0
            if place is Place.ENDED or absent >= ABSENT:
                journal.forget(prompt_id)
                return True
        except NodeAway as away:
            log.info("executor.prompt.not_stopped_yet", prompt_id=prompt_id, why=str(away))
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_S)
    log.warning("executor.prompt.left_behind", prompt_id=prompt_id)
    return False
