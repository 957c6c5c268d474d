"""Requests work from the scheduler: when the node is free, and while it still runs a job."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.scheduler.attempts import (
    CANCEL_WORK_REQUESTS,
    REQUEST_WORK,
    Assignment,
    CancelWorkRequests,
    FinishAttempt,
    Outcome,
    RequestWork,
)
from contracts.scheduler.heartbeats import OccupancyCause
from contracts.wire.errors import Refusal
from executor.clients.comfyui import ComfyUIClient
from executor.clients.comfyui_responses import NodeUnavailable, QueuedPrompt, UnreadableResponse
from executor.domain.attempt import AttemptRecord, Phase
from executor.domain.idle_time import IdleReason, IdleTime
from executor.domain.occupancy import Occupant
from executor.domain.request_timing import REPLY_S, choose_wait_s
from executor.store.journal import Journal, JournalNotWritable
from executor.usecases.find_prompt import is_pending_on_idle_node
from executor.usecases.live_attempts import AttemptPlace, LiveAttempt
from executor.usecases.node_state import NodeState
from executor.usecases.standby_socket import StandbySocket, build_client_id_prefix
from executor.usecases.stop_prompt import stop_prompt
from executor.usecases.watch_occupancy import OccupancyMonitor

MAX_STOPPED_ORPHANS = 20  # prompts stopped concurrently
QUEUE_FRESH_S = 0.5  # how long the queue is not read again after it had no foreign prompts
JOURNAL_PAUSE_S = 1.0  # after the journal could not be written
RETRY_PAUSE_S = 0.2  # after the scheduler or the node did not answer
FIRST_FOREIGN_CHECK_S, MAX_FOREIGN_CHECK_S = 0.05, 1.0  # between two checks for foreign prompts, doubled each time


@dataclass(frozen=True, slots=True)
class AssignedWork:
    """A new attempt, which is in the journal. If ``maybe_posted``, the node may already have its prompt.

    An attempt that could not be written to the journal has ended: ``record.finish`` hands it back.
    """

    record: AttemptRecord
    maybe_posted: bool


@dataclass(slots=True, kw_only=True)
class WorkRequester:
    """Requests work for one node.

    Attributes:
        wait_s: how long the scheduler may wait for a job before it answers; longer if the node has been idle for a long
            time.
        stop_within_s: time limit for stopping prompts left on the node.
        wall_clock: epoch seconds.
    """

    node: ComfyUIClient
    bus: Bus
    journal: Journal
    node_name: str
    boot_id: UUID
    standby_socket: StandbySocket
    state: NodeState
    occupancy: OccupancyMonitor
    idle_time: IdleTime
    wait_s: float
    stop_within_s: float
    wall_clock: Callable[[], float] = time.time
    _is_cancelled: bool = field(default=False, init=False)
    _is_first_request: bool = field(default=True, init=False)
    _foreign_check_pause_s: float = field(default=0.0, init=False)
    _no_foreign_prompt_until: float = field(default=0.0, init=False)
    _empty_replies: int = field(default=0, init=False)  # replies without a job since the last attempt

    async def request_work(self) -> AssignedWork | None:
        """Request work once.

        A node that does not answer, keeps running an unwanted prompt, or has foreign prompts in its queue requests
        nothing. Neither does an executor whose journal cannot be written: it could not keep what it is assigned.
        A queued prompt with this node's marker but without a journal record was posted by an executor that lost its
        journal: the scheduler is asked whether it is still wanted.
        """
        if not self.journal.try_write():
            self.occupancy.record_unwritable_journal()
            self.idle_time.switch_to(IdleReason.OCCUPIED)
            await asyncio.sleep(JOURNAL_PAUSE_S)
            return None
        try:
            queue = await self.node.read_queue() if await self._stop_recorded_orphans() else None
        except UnreadableResponse as unreadable:  # foreign prompts are huge, or the node is broken
            log.warning("executor.queue.unreadable", why=str(unreadable))
            await self.occupancy.record_occupant(Occupant(OccupancyCause.FOREIGN_PROMPT, None, is_running=True))
            await self._wait_for_foreign_prompts(1)
            return None
        except NodeUnavailable as unavailable:
            log.info("executor.node.unavailable", why=str(unavailable))
            self.idle_time.switch_to(IdleReason.NODE_OFFLINE)
            await asyncio.sleep(RETRY_PAUSE_S)
            return None
        if queue is None:
            self.idle_time.switch_to(IdleReason.OCCUPIED)
            await asyncio.sleep(RETRY_PAUSE_S)
            return None
        orphans = {
            item.prompt_id: item.client_id
            for item in queue
            if item.prompt_id and item.client_id.startswith(build_client_id_prefix(self.node_name))
        }
        if len(orphans) < len(queue):
            foreign = [item for item in queue if item.prompt_id not in orphans]
            await self.occupancy.record_occupant(_find_occupant(foreign, queue), pending_count=_count_pending(queue))
            await self._wait_for_foreign_prompts(len(foreign))
            return None
        self._foreign_check_pause_s = 0.0
        self.state.record_foreign_prompts(0)
        self.occupancy.record_free()
        return await self._request_assignment(orphans)

    async def prefetch_job(self, current_attempts: Sequence[LiveAttempt]) -> AttemptRecord | None:
        """Request the next job while the node runs one or outputs are stored. Returns at once if there is no job.

        Foreign prompts in the node's queue would run first, so nothing is requested while there are any. If the
        scheduler returns an earlier attempt that is not in the journal, it is not started before the node is free: its
        prompt may be on the node.
        """
        request = await self.build_prefetch_request(current_attempts)
        if request is None:
            return None
        try:
            assignment = (await self.bus.request(REQUEST_WORK, request, key=self.node_name)).assignment
        except Refusal as refusal:
            log.debug("executor.work_request.failed", code=refusal.details.code)
            return None
        return self.begin_prefetched_attempt(assignment)

    async def build_prefetch_request(self, current_attempts: Sequence[LiveAttempt]) -> RequestWork | None:
        """Return the request that ``prefetch_job`` sends; None if no job should be requested.

        Args:
            current_attempts: all attempts that the executor has; at least one.
        """
        if self._is_cancelled or not self.journal.try_write() or self.journal.list_orphans():
            return None
        if not await self._has_no_foreign_prompt(current_attempts):
            return None
        self.standby_socket.next_client_id()  # its socket opens meanwhile
        if all(attempt.place is AttemptPlace.ON_NODE for attempt in current_attempts):  # no outputs wait for storage
            self.occupancy.record_free()
        first, *others = [attempt.ref for attempt in current_attempts]
        return RequestWork(
            boot_id=self.boot_id, wait_s=0, held=first, also_held=tuple(others), loaded=self.state.loaded_models
        )

    def begin_prefetched_attempt(self, assignment: Assignment | None) -> AttemptRecord | None:
        """Record the attempt that a prefetch request was answered with. Returns None for an earlier attempt."""
        if assignment is None or assignment.renewed:
            return None
        return self._begin_attempt(assignment, self.standby_socket.next_client_id(), maybe_posted=False)

    async def _has_no_foreign_prompt(self, current_attempts: Sequence[LiveAttempt]) -> bool:
        """Whether the node's queue has only the prompts of ``current_attempts``. Cached for ``QUEUE_FRESH_S``.

        Otherwise a node that runs very short prompts would spend much of its time on these requests.
        """
        if time.monotonic() < self._no_foreign_prompt_until:
            return True
        try:
            queue = await self.node.read_queue()
        except NodeUnavailable as unavailable:
            log.info("executor.node.unavailable", why=str(unavailable))
            return False
        own = [attempt.record.prompt_id for attempt in current_attempts]
        if any(item.prompt_id not in own for item in queue):
            return False
        self._no_foreign_prompt_until = time.monotonic() + QUEUE_FRESH_S
        return True

    async def cancel_requests(self) -> None:
        """Request no more work, and have the scheduler answer a waiting request. The answer can still be a job."""
        self._is_cancelled = True
        await self.bus.publish(CANCEL_WORK_REQUESTS, CancelWorkRequests(boot_id=self.boot_id), key=self.node_name)

    async def _wait_for_foreign_prompts(self, foreign: int) -> None:
        """Wait for foreign prompts, longer each time."""
        self.state.record_foreign_prompts(foreign)
        self.idle_time.switch_to(IdleReason.OCCUPIED)
        if not self._foreign_check_pause_s:
            log.warning("executor.node.foreign_prompts", foreign=foreign)
        self._foreign_check_pause_s = min(2 * self._foreign_check_pause_s or FIRST_FOREIGN_CHECK_S, MAX_FOREIGN_CHECK_S)
        await asyncio.sleep(self._foreign_check_pause_s)

    async def _stop_recorded_orphans(self) -> bool:
        """Stop all orphaned prompts within ``stop_within_s`` in total. Returns whether they have ended.

        A prompt that never ends would block every later job. A prompt that is pending while nothing runs stays in the
        queue: once a living worker takes it, the node works again.
        """
        deadline = time.monotonic() + self.stop_within_s
        for prompt_id in self.journal.list_orphans():
            queue = await self.node.read_queue()  # without reading the history, which may be huge
            is_unserved = is_pending_on_idle_node(prompt_id, queue)
            within_s = deadline - time.monotonic()
            if is_unserved or not await stop_prompt(self.node, self.journal, prompt_id, within_s=within_s):
                occupant = Occupant(OccupancyCause.OWN_PROMPT, prompt_id, is_running=not is_unserved)
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
        self.idle_time.record_work_request()
        client_id = self.standby_socket.next_client_id()
        wait_s = 0 if orphans else choose_wait_s(self.wait_s, empty_replies=self._empty_replies)
        request = RequestWork(boot_id=self.boot_id, wait_s=wait_s, loaded=self.state.loaded_models)
        within_s = max(REQUEST_WORK.timeout_s, wait_s + REPLY_S)
        try:
            reply = await self.bus.request(REQUEST_WORK, request, key=self.node_name, within_s=within_s)
        except Refusal as refusal:
            log.debug("executor.work_request.failed", code=refusal.details.code)
            self.idle_time.switch_to(IdleReason.SCHEDULER_UNAVAILABLE)
            await asyncio.sleep(RETRY_PAUSE_S)
            return None
        assignment = reply.assignment
        self.idle_time.switch_to(IdleReason.NO_WORK)
        # After a renewed attempt others may follow, one per request: their prompts must not be stopped.
        if assignment is None or not assignment.renewed:
            wanted = str(assignment.prompt_id) if assignment else None
            await self._stop_prompts(list(orphans.keys() - {wanted})[:MAX_STOPPED_ORPHANS])
        if assignment is None:
            self._empty_replies += 1
            return None
        # Only an attempt of an earlier process can already be on the node.
        is_first, self._is_first_request = self._is_first_request, False
        maybe_posted = is_first or assignment.renewed or bool(orphans)
        client_id = orphans.get(str(assignment.prompt_id)) or client_id
        record = self._begin_attempt(assignment, client_id, maybe_posted=maybe_posted)
        return AssignedWork(record, maybe_posted=maybe_posted)

    def _begin_attempt(self, assignment: Assignment, client_id: str, *, maybe_posted: bool) -> AttemptRecord:
        """Record a new attempt in the journal. If that is impossible, it ends at once, to be handed back."""
        self._empty_replies = 0
        record = AttemptRecord(
            assignment=assignment, phase=Phase.ASSIGNED, client_id=client_id, begun_at=self.wall_clock()
        )
        try:
            self.journal.add_attempt(record)
        except JournalNotWritable:
            if maybe_posted:
                self.journal.add_orphan(record.prompt_id)
            finish = FinishAttempt(ref=record.ref, outcome=Outcome.RELEASED)
            return replace(record, phase=Phase.ENDED, finish=finish)
        return record


def _find_occupant(foreign: Sequence[QueuedPrompt], queue: Sequence[QueuedPrompt]) -> Occupant:
    """Return the prompt that occupies the node: the running one, else a pending one, the same each time."""
    first = min(foreign, key=lambda item: (not item.running, item.raw_id))
    return Occupant(OccupancyCause.FOREIGN_PROMPT, first.raw_id or None, is_running=any(item.running for item in queue))


def _count_pending(queue: Sequence[QueuedPrompt]) -> int:
    return sum(not item.running for item in queue)
