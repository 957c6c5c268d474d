"""Locates a prompt on the node."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from executor.clients.comfyui import ComfyUIClient
from executor.clients.comfyui_responses import HistoryEntry, NodeUnavailable, QueuedPrompt, UnreadableResponse

SECOND_LOOK_S = 0.3  # from the first to the second look: a node may be about to queue the prompt


class PromptState(StrEnum):
    RUNNING = "running"
    PENDING = "pending"  # behind another one
    PENDING_ON_IDLE_NODE = "pending_on_idle_node"  # first in a queue in which nothing runs
    ENDED = "ended"
    ABSENT = "absent"
    UNKNOWN = "unknown"  # not ended; the queue cannot be read


@dataclass(frozen=True, slots=True)
class PromptStatus:
    """Where a prompt is, its history entry if it ended, and the number of pending prompts on the node."""

    state: PromptState
    entry: HistoryEntry | None = None
    pending_count: int = 0


async def find_prompt(node: ComfyUIClient, prompt_id: str) -> PromptStatus:
    """Look for a prompt in the queue, then in the history: it moves only in this direction.

    Raises:
        UnreadableResponse: the prompt ended, but its history entry cannot be parsed.
        NodeUnavailable: the node does not answer.
    """
    queue = await _read_queue(node)
    for item in queue or ():
        if item.prompt_id == prompt_id:
            if item.running:
                return PromptStatus(PromptState.RUNNING, pending_count=sum(not other.running for other in queue or ()))
            return PromptStatus(
                PromptState.PENDING if any(other.running for other in queue or ()) else PromptState.PENDING_ON_IDLE_NODE
            )
    entry = await _read_history_entry(node, prompt_id, queue_was_read=queue is not None)
    if entry is not None:
        return PromptStatus(PromptState.ENDED, entry)
    return PromptStatus(PromptState.ABSENT if queue is not None else PromptState.UNKNOWN)


async def _read_history_entry(node: ComfyUIClient, prompt_id: str, *, queue_was_read: bool) -> HistoryEntry | None:
    """Return the history entry; None if there is none.

    If the queue was read and only this request fails, the entry is taken to be unreadable.
    """
    try:
        return await node.read_history(prompt_id)
    except UnreadableResponse:
        raise
    except NodeUnavailable as unavailable:
        if queue_was_read and unavailable.may_have_arrived:
            raise UnreadableResponse(str(unavailable)) from unavailable
        raise


async def _read_queue(node: ComfyUIClient) -> list[QueuedPrompt] | None:
    """Return the queue; None if foreign prompts make it too large to read."""
    try:
        return await node.read_queue()
    except UnreadableResponse as unreadable:
        if not unreadable.too_large:
            raise NodeUnavailable(str(unreadable)) from unreadable
        return None


def is_pending_on_idle_node(prompt_id: str, queue: Sequence[QueuedPrompt]) -> bool:
    """Whether a prompt is pending while the node runs nothing."""
    return not any(item.running for item in queue) and any(item.prompt_id == prompt_id for item in queue)


async def has_prompt(node: ComfyUIClient, prompt_id: str, *, recently_sent: bool) -> bool:
    """Whether the node has a prompt. A recently sent one is looked for twice.

    Raises:
        NodeUnavailable: the node does not answer.
    """
    if await _is_prompt_on_node(node, prompt_id):
        return True
    if not recently_sent:
        return False
    await asyncio.sleep(SECOND_LOOK_S)
    return await _is_prompt_on_node(node, prompt_id)


async def _is_prompt_on_node(node: ComfyUIClient, prompt_id: str) -> bool:
    try:
        state = (await find_prompt(node, prompt_id)).state
    except UnreadableResponse:
        return True  # ended
    if state is PromptState.UNKNOWN:
        raise NodeUnavailable("the queue is too large to be read")
    return state is not PromptState.ABSENT
