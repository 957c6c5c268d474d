"""Requests work from the scheduler: when the node is free, and while it still runs a job."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.scheduler.attempts import (
    CANCEL_WORK_REQUESTS,
    REQUEST_WORK,
    Assignment,
    CancelWorkRequests,
    RequestWork,
)
from contracts.scheduler.heartbeats import OccupancyCause
from contracts.wire.errors import Refusal
from executor.clients.comfyui import ComfyUI
from executor.clients.comfyui_responses import NodeUnavailable, QueuedPrompt, UnreadableResponse
from executor.domain.attempt import AttemptRecord, Phase
from executor.domain.idle_time import IdleReason, IdleTime
from executor.domain.occupancy import Occupant
from executor.domain.request_timing import REPLY_S, choose_wait_s
from executor.store.journal import Journal
from executor.usecases.find_prompt import is_pending_on_idle_node
from executor.usecases.live_attempts import AttemptPlace, LiveAttempt
from executor.usecases.node_state import NodeState
from executor.usecases.standby_socket import StandbySocket, client_id_prefix
from executor.usecases.stop_prompt import stop_prompt
from executor.usecases.watch_occupancy import OccupancyMonitor

MAX_STOPPED_ORPHANS = 20  # prompts stopped concurrently
QUEUE_FRESH_S = 0.5  # seconds for which a queue without foreign prompts is believed to have none
RETRY_PAUSE_S = 0.2  # seconds after the scheduler or the node did not answer
# Seconds between two checks for foreign prompts, doubled each time.
FIRST_FOREIGN_CHECK_S, MAX_FOREIGN_CHECK_S = 0.05, 1.0


@dataclass(frozen=True, slots=True)
class AssignedWork:
    """An attempt in the journal; the node may already have its prompt."""

    record: AttemptRecord
    maybe_posted: bool


@dataclass(slots=True, kw_only=True)
class WorkRequester:
    """Requests work for one node.

    Attributes:
        wait_s: how long the scheduler may hold the request; longer once the node has been idle for long.
        stop_within_s: time limit for stopping prompts left on the node.
    """

    node: ComfyUI
    bus: Bus
    journal: Journal
    node_name: str
    boot_id: UUID
    standby: StandbySocket
    state: NodeState
    occupancy: OccupancyMonitor
    idle: IdleTime
    wait_s: float
    stop_within_s: float
    _is_cancelled: bool = field(default=False, init=False)
    _is_first_request: bool = field(default=True, init=False)
    _foreign_pause_s: float = field(default=0.0, init=False)
    _own_queue_until: float = field(default=0.0, init=False)
    _empty_replies: int = field(default=0, init=False)  # since the last attempt

    async def request_work(self) -> AssignedWork | None:
        """Request work once.

        A node that does not answer, keeps running an unwanted prompt, or has foreign prompts in its queue requests
        nothing. A queued prompt with this node's marker but without a journal record was posted by an executor that
        lost its journal: the scheduler is asked whether it is still wanted.
        """
        try:
            queue = await self.node.read_queue() if await self._stop_recorded_orphans() else None
        except UnreadableResponse as unreadable:  # foreign prompts are huge, or the node is broken
            log.warning("executor.queue.unreadable", why=str(unreadable))
            await self.occupancy.record_occupant(Occupant(OccupancyCause.FOREIGN_PROMPT, None, runs=True))
            await self._wait_for_foreign_prompts(1)
            return None
        except NodeUnavailable as unavailable:
            log.info("executor.node.unavailable", why=str(unavailable))
            self.idle.enter(IdleReason.NODE_OFFLINE)
            await asyncio.sleep(RETRY_PAUSE_S)
            return None
        if queue is None:
            self.idle.enter(IdleReason.OCCUPIED)
            await asyncio.sleep(RETRY_PAUSE_S)
            return None
        orphans = {
            item.prompt_id: item.client_id
            for item in queue
            if item.prompt_id and item.client_id.startswith(client_id_prefix(self.node_name))
        }
        if len(orphans) < len(queue):
            foreign = [item for item in queue if item.prompt_id not in orphans]
            await self.occupancy.record_occupant(_find_occupant(foreign, queue), pending_count=_count_pending(queue))
            await self._wait_for_foreign_prompts(len(foreign))
            return None
        self._foreign_pause_s = 0.0
        self.state.record_foreign_prompts(0)
        self.occupancy.clear()
        return await self._request_assignment(orphans)

    async def request_next_job(self, held: Sequence[LiveAttempt]) -> AttemptRecord | None:
        """Request a job to start after those that the executor has: the node runs one, or their outputs are stored.

        Waits for no job.

        Foreign prompts in the node's queue come first, so nothing is requested while there are any. An attempt that was
        assigned before and is not in the journal is left until the node is free: it may be on the node.
        """
        request = await self.build_next_request(held)
        if request is None:
            return None
        try:
            assignment = (await self.bus.request(REQUEST_WORK, request, key=self.node_name)).assignment
        except Refusal as refusal:
            log.debug("executor.work_request.failed", code=refusal.details.code)
            return None
        return self.begin_next_attempt(assignment)

    async def build_next_request(self, held: Sequence[LiveAttempt]) -> RequestWork | None:
        """Return the request of ``request_next_job``; None if nothing is to be requested.

        Args:
            held: all attempts that the executor has; at least one.
        """
        if self._is_cancelled or self.journal.list_orphans() or not await self._has_no_foreign_prompt(held):
            return None
        self.standby.next_client_id()  # its socket opens meanwhile
        if all(one.place is AttemptPlace.ON_NODE for one in held):  # so no outputs wait for the artifact store any more
            self.occupancy.clear()
        first, *others = [one.ref for one in held]
        return RequestWork(
            boot_id=self.boot_id, wait_s=0, held=first, also_held=tuple(others), loaded=self.state.loaded_models
        )

    def begin_next_attempt(self, assignment: Assignment | None) -> AttemptRecord | None:
        """Record the attempt that was assigned upon ``build_next_request``, unless it was assigned before."""
        if assignment is None or assignment.renewed:
            return None
        return self._begin_attempt(assignment, self.standby.next_client_id())

    async def _has_no_foreign_prompt(self, held: Sequence[LiveAttempt]) -> bool:
        """Whether the node's queue has no prompt but those of ``held``. A look serves for ``QUEUE_FRESH_S``.

        A node that runs very short prompts would spend much of its time on these looks.
        """
        if time.monotonic() < self._own_queue_until:
            return True
        try:
            queue = await self.node.read_queue()
        except NodeUnavailable as unavailable:
            log.info("executor.node.unavailable", why=str(unavailable))
            return False
        own = [one.record.prompt_id for one in held]
        if any(item.prompt_id not in own for item in queue):
            return False
        self._own_queue_until = time.monotonic() + QUEUE_FRESH_S
        return True

    async def cancel_requests(self) -> None:
        """Request no more work, and have the scheduler answer a waiting request. Its answer can still be an attempt."""
        self._is_cancelled = True
        await self.bus.publish(CANCEL_WORK_REQUESTS, CancelWorkRequests(boot_id=self.boot_id), key=self.node_name)

    async def _wait_for_foreign_prompts(self, foreign: int) -> None:
        """Wait for foreign prompts, longer each time."""
        self.state.record_foreign_prompts(foreign)
        self.idle.enter(IdleReason.OCCUPIED)
        if not self._foreign_pause_s:
            log.warning("executor.node.foreign_prompts", foreign=foreign)
        self._foreign_pause_s = min(2 * self._foreign_pause_s or FIRST_FOREIGN_CHECK_S, MAX_FOREIGN_CHECK_S)
        await asyncio.sleep(self._foreign_pause_s)

    async def _stop_recorded_orphans(self) -> bool:
        """Whether the node has stopped all orphaned prompts within ``stop_within_s`` in total.

        A prompt that never ends would block every later job. One that is pending while nothing runs is left there: only
        a living worker takes it, which shows when the node works again.
        """
        deadline = time.monotonic() + self.stop_within_s
        for prompt_id in self.journal.list_orphans():
            queue = await self.node.read_queue()  # without reading the history, which may be huge
            is_unserved = is_pending_on_idle_node(prompt_id, queue)
            within_s = deadline - time.monotonic()
            if is_unserved or not await stop_prompt(self.node, self.journal, prompt_id, within_s=within_s):
                occupant = Occupant(OccupancyCause.OWN_PROMPT, prompt_id, runs=not is_unserved)
                await self.occupancy.record_occupant(occupant, pending_count=_count_pending(queue))
                return False
        return True

    async def _stop_prompts(self, prompt_ids: Iterable[str]) -> None:
        """Stop prompts within ``stop_within_s`` in total."""
        deadline = time.monotonic() + self.stop_within_s
        for prompt_id in prompt_ids:
            await stop_prompt(self.node, self.journal, prompt_id, within_s=deadline - time.monotonic())

    async def _request_assignment(self, orphans: dict[str, str]) -> AssignedWork | None:
        if self._is_cancelled:
            return None
        self.idle.enter_request()
        client_id = self.standby.next_client_id()
        wait_s = 0 if orphans else choose_wait_s(self.wait_s, empty_replies=self._empty_replies)
        request = RequestWork(boot_id=self.boot_id, wait_s=wait_s, loaded=self.state.loaded_models)
        within_s = max(REQUEST_WORK.timeout_s, wait_s + REPLY_S)
        try:
            reply = await self.bus.request(REQUEST_WORK, request, key=self.node_name, within_s=within_s)
        except Refusal as refusal:
            log.debug("executor.work_request.failed", code=refusal.details.code)
            self.idle.enter(IdleReason.SCHEDULER_UNAVAILABLE)
            await asyncio.sleep(RETRY_PAUSE_S)
            return None
        assignment = reply.assignment
        self.idle.enter(IdleReason.NO_WORK)
        wanted = str(assignment.prompt_id) if assignment else None
        await self._stop_prompts(list(orphans.keys() - {wanted})[:MAX_STOPPED_ORPHANS])
        if assignment is None:
            self._empty_replies += 1
            return None
        # Only an attempt of an earlier process can already be on the node.
        is_first, self._is_first_request = self._is_first_request, False
        maybe_posted = is_first or assignment.renewed or bool(orphans)
        record = self._begin_attempt(assignment, orphans.get(str(assignment.prompt_id)) or client_id)
        return AssignedWork(record, maybe_posted=maybe_posted)

    def _begin_attempt(self, assignment: Assignment, client_id: str) -> AttemptRecord:
        """Record a new attempt in the journal."""
        self._empty_replies = 0
        record = AttemptRecord(assignment=assignment, phase=Phase.ASSIGNED, client_id=client_id, begun_at=time.time())
        self.journal.begin_attempt(record)
        return record


def _find_occupant(foreign: Sequence[QueuedPrompt], queue: Sequence[QueuedPrompt]) -> Occupant:
    """Return the prompt that occupies the node: the running one, else a pending one. ComfyUI lists these unordered."""
    first = min(foreign, key=lambda item: (not item.running, item.raw_id))
    return Occupant(OccupancyCause.FOREIGN_PROMPT, first.raw_id or None, runs=any(item.running for item in queue))


def _count_pending(queue: Sequence[QueuedPrompt]) -> int:
    """Return the number of pending prompts."""
    return sum(not item.running for item in queue)
