"""Where a prompt is on the node."""

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from executor.clients.comfyui import ComfyUI

APART_S = 0.3  # between two looks: a node may be about to take what it was sent


class Place(StrEnum):
    """Where a prompt is."""

    RUNNING = "running"
    WAITING = "waiting"  # behind another one
    NEXT = "next"  # first in a queue in which nothing runs
    ENDED = "ended"
    NOWHERE = "nowhere"


@dataclass(frozen=True, slots=True)
class Sighting:
    """Where a prompt is, and its history entry if it ended."""

    place: Place
    entry: dict[str, Any] | None = None


async def find_prompt(node: ComfyUI, prompt_id: str) -> Sighting:
    """Look for a prompt: first in the queue, then in the history, for it moves in this direction only.

    Raises:
        NodeAway: the node does not answer.
    """
    queue = await node.queue()
    for item in queue:
        if item.prompt_id == prompt_id:
            if item.running:
                return Sighting(Place.RUNNING)
            return Sighting(Place.WAITING if any(other.running for other in queue) else Place.NEXT)
    entry = await node.history(prompt_id)
    return Sighting(Place.ENDED, entry) if entry is not None else Sighting(Place.NOWHERE)


async def is_there(node: ComfyUI, prompt_id: str, *, just_sent: bool) -> bool:
    """Whether the node has a prompt; one that was sent a moment ago is looked for twice before saying no.

    Raises:
        NodeAway: the node does not answer.
    """
    if (await find_prompt(node, prompt_id)).place is not Place.NOWHERE:
        return True
    if not just_sent:
        return False
    await asyncio.sleep(APART_S)
    return (await find_prompt(node, prompt_id)).place is not Place.NOWHERE
