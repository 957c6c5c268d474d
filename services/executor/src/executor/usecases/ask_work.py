"""Ask the scheduler for work, when the node is free to do it."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.scheduler import ASK_WORK, AskWork, OccupiedBy
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

MOST_ORPHANS = 20  # that are stopped at a time
PAUSE_S = 0.2  # after nobody answered, or the node did not
FIRST_FOREIGN_S, LONGEST_FOREIGN_S = 0.05, 1.0  # between two looks at prompts of somebody else, doubled


@dataclass(frozen=True, slots=True)
class Taken:
    """An attempt that is in the journal now; perhaps the node has its prompt already."""

    record: Record
    perhaps_there: bool


@dataclass(slots=True, kw_only=True)
class AskForWork:
    """Asks for work for one node.

    Attributes:
        wait_s: how long the scheduler may keep the question.
        stop_within_s: how long ending what was left on the node may take.
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
        """Ask once.

        A node that does not answer, does not let go of a prompt that it should have ended, or has prompts of somebody
        else in its queue, asks for nothing. A prompt in the queue that carries this node's mark but is in no journal
        was posted by an executor that lost its journal: the scheduler is asked whether it is still wanted.
        """
        try:
            queue = await self.node.queue() if await self._cleared() else None
        except UnusableAnswer as unusable:  # somebody else's prompts are huge, or the node is in a bad way
            log.warning("executor.queue.unusable", why=str(unusable))
            await self.occupancy.see(Holder(OccupiedBy.FOREIGN_PROMPT, None, runs=True))
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
        """Wait a little for prompts of somebody else; longer each time that there still are some."""
        self.state.note_foreign_prompts(foreign)
        if not self._foreign_s:
            log.warning("executor.node.shared", foreign=foreign)
        self._foreign_s = min(2 * self._foreign_s or FIRST_FOREIGN_S, LONGEST_FOREIGN_S)
        await asyncio.sleep(self._foreign_s)

    async def _cleared(self) -> bool:
        """Whether the node has let go of everything that was left behind on it, within ``stop_within_s`` all together.

        A prompt that does not end would hold up every later job, and one that waits while nothing runs is left there:
        only a worker that lives takes it, so that it tells when the node can be trusted again.
        """
        deadline = time.monotonic() + self.stop_within_s
        for prompt_id in self.journal.left():
            queue = await self.node.queue()  # its history, perhaps huge, is not read
            waits = is_unserved(prompt_id, queue)
            within_s = deadline - time.monotonic()
            if waits or not await stop_prompt(self.node, self.journal, prompt_id, within_s=within_s):
                holder = Holder(OccupiedBy.OWN_PROMPT, prompt_id, runs=not waits)
                await self.occupancy.see(holder, waiting=_waiting(queue))
                return False
        return True

    async def _stop(self, prompt_ids: Iterable[str]) -> None:
        """End prompts, within ``stop_within_s`` all together."""
        deadline = time.monotonic() + self.stop_within_s
        for prompt_id in prompt_ids:
            await stop_prompt(self.node, self.journal, prompt_id, within_s=deadline - time.monotonic())

    async def _asked(self, orphans: dict[str, str]) -> Taken | None:
        fresh = self.standby.client_id()
        question = AskWork(boot_id=self.boot_id, wait_s=0 if orphans else self.wait_s)
        try:
            assignment = (await self.bus.request(ASK_WORK, question, key=self.node_name)).assignment
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
        # Only what was assigned to an earlier process can be on the node already.
        taken, self._first = Taken(record, perhaps_there=self._first or bool(orphans)), False
        return taken


def _holder(foreign: Sequence[Queued], queue: Sequence[Queued]) -> Holder:
    """What holds a node: the prompt that runs, else one that waits. A node lists those in no order."""
    first = min(foreign, key=lambda item: (not item.running, item.raw_id))
    return Holder(OccupiedBy.FOREIGN_PROMPT, first.raw_id or None, runs=any(item.running for item in queue))


def _waiting(queue: Sequence[Queued]) -> int:
    """How many prompts of a queue do not run."""
    return sum(not item.running for item in queue)
