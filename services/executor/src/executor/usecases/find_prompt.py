"""Locates a prompt on the node."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from executor.clients.comfyui import ComfyUI
from executor.clients.comfyui_answers import HistoryEntry, NodeAway, Queued, UnusableAnswer

APART_S = 0.3  # seconds between two looks: a node may be about to queue the prompt


class Place(StrEnum):
    RUNNING = "running"
    WAITING = "waiting"  # behind another one
    NEXT = "next"  # first in a queue in which nothing runs
    ENDED = "ended"
    NOWHERE = "nowhere"
    UNSEEN = "unseen"  # not ended; the queue cannot be read


@dataclass(frozen=True, slots=True)
class Sighting:
    """Where a prompt is, its history entry if it ended, and the number of pending prompts on the node."""

    place: Place
    entry: HistoryEntry | None = None
    waiting: int = 0


async def find_prompt(node: ComfyUI, prompt_id: str) -> Sighting:
    """Look for a prompt in the queue, then in the history: it moves only in this direction.

    Raises:
        UnusableAnswer: it ended, but its history entry cannot be parsed.
        NodeAway: the node does not answer.
    """
    queue = await _queue(node)
    for item in queue or ():
        if item.prompt_id == prompt_id:
            if item.running:
                return Sighting(Place.RUNNING, waiting=sum(not other.running for other in queue or ()))
            return Sighting(Place.WAITING if any(other.running for other in queue or ()) else Place.NEXT)
    entry = await _entry(node, prompt_id, answers=queue is not None)
    if entry is not None:
        return Sighting(Place.ENDED, entry)
    return Sighting(Place.NOWHERE if queue is not None else Place.UNSEEN)


async def _entry(node: ComfyUI, prompt_id: str, *, answers: bool) -> HistoryEntry | None:
    """Return the history entry. If only this request fails, the entry takes too long or is malformed."""
    try:
        return await node.history(prompt_id)
    except UnusableAnswer:
        raise
    except NodeAway as away:
        if answers and away.heard:
            raise UnusableAnswer(str(away)) from away
        raise


async def _queue(node: ComfyUI) -> list[Queued] | None:
    """Return the queue, None when foreign prompts make it too large to read."""
    try:
        return await node.queue()
    except UnusableAnswer as unusable:
        if not unusable.too_large:
            raise NodeAway(str(unusable)) from unusable
        return None


def is_unserved(prompt_id: str, queue: Sequence[Queued]) -> bool:
    """Whether a prompt is pending while the node runs nothing."""
    return not any(item.running for item in queue) and any(item.prompt_id == prompt_id for item in queue)


async def is_there(node: ComfyUI, prompt_id: str, *, just_sent: bool) -> bool:
    """Whether the node has a prompt. A recently sent one is looked for twice.

    Raises:
        NodeAway: the node does not answer.
    """
    if await _has(node, prompt_id):
        return True
    if not just_sent:
        return False
    await asyncio.sleep(APART_S)
    return await _has(node, prompt_id)


async def _has(node: ComfyUI, prompt_id: str) -> bool:
    try:
        place = (await find_prompt(node, prompt_id)).place
    except UnusableAnswer:
        return True  # ended
    if place is Place.UNSEEN:
        raise NodeAway("the queue is too large to be read")
    return place is not Place.NOWHERE
