"""Requests work from the scheduler when the node is free."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.scheduler.attempts import REQUEST_WORK, RequestWork
from contracts.scheduler.heartbeats import OccupancyCause
from contracts.wire.errors import Refusal
from executor.clients.comfyui import ComfyUI
from executor.clients.comfyui_answers import NodeAway, Queued, UnusableAnswer
from executor.domain.attempt import Phase, Record
from executor.domain.occupancy import Holder
from executor.store.journal import Journal
from executor.usecases.find_prompt import is_unserved
from executor.usecases.node_state import NodeState
from executor.usecases.standby import Standby, mark_of
from executor.usecases.stop_prompt import stop_prompt
from executor.usecases.watch_occupancy import WatchOccupancy

MOST_ORPHANS = 20  # prompts stopped concurrently
PAUSE_S = 0.2  # seconds after the scheduler or the node did not answer
FIRST_FOREIGN_S, LONGEST_FOREIGN_S = 0.05, 1.0  # seconds between two checks for foreign prompts, doubled each time


@dataclass(frozen=True, slots=True)
class Taken:
    """An attempt in the journal; the node may already have its prompt."""

    record: Record
    perhaps_there: bool


@dataclass(slots=True, kw_only=True)
class AskForWork:
    """Requests work for one node.

    Attributes:
        wait_s: how long the scheduler may hold the request.
        stop_within_s: time limit for stopping prompts left on the node.
    """

    node: ComfyUI
    bus: Bus
    journal: Journal
    node_name: str
    boot_id: UUID
    standby: Standby
    state: NodeState
    occupancy: WatchOccupancy
    wait_s: float
    stop_within_s: float
    _first: bool = field(default=True, init=False)
    _foreign_s: float = field(default=0.0, init=False)

    async def __call__(self) -> Taken | None:
        """Request work once.

        A node that does not answer, keeps running an unwanted prompt, or has foreign prompts in its queue requests
        nothing. A queued prompt with this node's marker but without a journal record was posted by an executor that
        lost its journal: the scheduler is asked whether it is still wanted.
        """
        try:
            queue = await self.node.queue() if await self._cleared() else None
        except UnusableAnswer as unusable:  # foreign prompts are huge, or the node is broken
            log.warning("executor.queue.unusable", why=str(unusable))
            await self.occupancy.see(Holder(OccupancyCause.FOREIGN_PROMPT, None, runs=True))
            await self._let_pass(1)
            return None
        except NodeAway as away:
            log.info("executor.node.silent", why=str(away))
            await asyncio.sleep(PAUSE_S)
            return None
        if queue is None:
            await asyncio.sleep(PAUSE_S)
            return None
        orphans = {
            item.prompt_id: item.client_id
            for item in queue
            if item.prompt_id and item.client_id.startswith(mark_of(self.node_name))
        }
        if len(orphans) < len(queue):
            foreign = [item for item in queue if item.prompt_id not in orphans]
            await self.occupancy.see(_holder(foreign, queue), waiting=_waiting(queue))
            await self._let_pass(len(foreign))
            return None
        self._foreign_s = 0.0
        self.state.note_foreign_prompts(0)
        self.occupancy.end()
        return await self._asked(orphans)

    async def _let_pass(self, foreign: int) -> None:
        """Wait for foreign prompts, longer each time."""
        self.state.note_foreign_prompts(foreign)
        if not self._foreign_s:
            log.warning("executor.node.shared", foreign=foreign)
        self._foreign_s = min(2 * self._foreign_s or FIRST_FOREIGN_S, LONGEST_FOREIGN_S)
        await asyncio.sleep(self._foreign_s)

    async def _cleared(self) -> bool:
        """Whether the node has stopped all orphaned prompts within ``stop_within_s`` in total.

        A prompt that never ends would block every later job. One that is pending while nothing runs is left there: only
        a living worker takes it, which shows when the node works again.
        """
        deadline = time.monotonic() + self.stop_within_s
        for prompt_id in self.journal.left():
            queue = await self.node.queue()  # without reading the history, which may be huge
            waits = is_unserved(prompt_id, queue)
            within_s = deadline - time.monotonic()
            if waits or not await stop_prompt(self.node, self.journal, prompt_id, within_s=within_s):
                holder = Holder(OccupancyCause.OWN_PROMPT, prompt_id, runs=not waits)
                await self.occupancy.see(holder, waiting=_waiting(queue))
                return False
        return True

    async def _stop(self, prompt_ids: Iterable[str]) -> None:
        """Stop prompts within ``stop_within_s`` in total."""
        deadline = time.monotonic() + self.stop_within_s
        for prompt_id in prompt_ids:
            await stop_prompt(self.node, self.journal, prompt_id, within_s=deadline - time.monotonic())

    async def _asked(self, orphans: dict[str, str]) -> Taken | None:
        fresh = self.standby.client_id()
        question = RequestWork(boot_id=self.boot_id, wait_s=0 if orphans else self.wait_s)
        try:
            assignment = (await self.bus.request(REQUEST_WORK, question, key=self.node_name)).assignment
        except Refusal as refusal:
            log.debug("executor.ask.unheard", code=refusal.refused.code)
            await asyncio.sleep(PAUSE_S)
            return None
        wanted = str(assignment.prompt_id) if assignment else None
        await self._stop(list(orphans.keys() - {wanted})[:MOST_ORPHANS])
        if assignment is None:
            return None
        record = Record(
            assignment=assignment,
            phase=Phase.ASSIGNED,
            client_id=orphans.get(str(assignment.prompt_id)) or fresh,
            begun_at=time.time(),
        )
        self.journal.begin(record)
        # Only an attempt of an earlier process can already be on the node.
        taken, self._first = Taken(record, perhaps_there=self._first or bool(orphans)), False
        return taken


def _holder(foreign: Sequence[Queued], queue: Sequence[Queued]) -> Holder:
    """Return the prompt that occupies the node: the running one, else a pending one. ComfyUI lists these unordered."""
    first = min(foreign, key=lambda item: (not item.running, item.raw_id))
    return Holder(OccupancyCause.FOREIGN_PROMPT, first.raw_id or None, runs=any(item.running for item in queue))


def _waiting(queue: Sequence[Queued]) -> int:
    """Return the number of pending prompts."""
    return sum(not item.running for item in queue)
