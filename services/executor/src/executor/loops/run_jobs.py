"""The main loop: request work, run it, report it."""

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from chassis.messaging.bus import Bus
from chassis.shutdown import wait_for_any
from chassis.telemetry.logs import log, log_context
from contracts.scheduler.attempts import FinishAttempt, Outcome, RequestWork
from executor.clients.comfyui import ComfyUIClient
from executor.clients.comfyui_responses import NodeUnavailable
from executor.domain.attempt import AttemptRecord, Phase, StopReason
from executor.domain.idle_time import IdleReason, IdleTime
from executor.domain.prefetch_timing import PrefetchTiming
from executor.domain.progress import ProgressTracker
from executor.store.journal import Journal
from executor.usecases.live_attempts import AttemptPlace, LiveAttempt, LiveAttempts
from executor.usecases.node_state import NodeState
from executor.usecases.publish_progress import ProgressPublisher
from executor.usecases.report_attempt import AttemptReporter
from executor.usecases.request_work import AssignedWork, WorkRequester
from executor.usecases.run_attempt import ATTEMPT_CRASHED, AttemptRunner

# After the second consecutive node fault, doubled with each further one. The maximum is about a lease.
FAULT_PAUSE_S, MAX_FAULT_PAUSE_S = 1.0, 15.0
MAX_HISTORY_ENTRIES = 200  # kept on the node for operators; ComfyUI would keep 10,000 with their workflows
MAX_REMOVALS_PER_JOB = 10  # history entries
HAND_BACK_S = 5.0  # time to stop the prompt and report


@dataclass(slots=True, kw_only=True)
class WorkLoop:
    """Requests work and runs the node's attempts. Attempts in the journal come first.

    Attributes:
        prefetch: whether to request the next job while the node runs one or outputs are stored.
    """

    node: ComfyUIClient
    bus: Bus
    journal: Journal
    live_attempts: LiveAttempts
    state: NodeState
    requester: WorkRequester
    runner: AttemptRunner
    reporter: AttemptReporter
    idle_time: IdleTime
    prefetch_timing: PrefetchTiming
    prefetch: bool
    _tasks: dict[asyncio.Task[None], LiveAttempt] = field(default_factory=dict, init=False)
    _consecutive_faults: int = field(default=0, init=False)
    _paused_until: float = field(default=0.0, init=False)
    _is_running: bool = field(default=False, init=False)
    _is_requesting: bool = field(default=False, init=False)  # the next job is being requested
    _draining: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _drained: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def tick(self) -> None:
        """Start attempts of the journal, then request work if it is time, or wait until something changes."""
        self._is_running = True
        self._raise_failures()
        running = {attempt.record.prompt_id for attempt in self._tasks.values()}
        for record in self.journal.list_attempts(exclude=running):
            self._start_attempt(record, maybe_posted=False)
        self.live_attempts.changed.clear()
        if not self.live_attempts:
            await self._pause_after_faults()
            assigned = await self._request_work()
            if assigned is not None:
                self._start_attempt(assigned.record, maybe_posted=assigned.maybe_posted)
            return
        due_in_s = self._compute_prefetch_delay_s(self.live_attempts.list_in_order(), may_wait_for_report=True)
        if due_in_s <= 0:
            await self._prefetch_next_job()
            return
        await wait_for_any(self.live_attempts.changed, within_s=None if math.isinf(due_in_s) else due_in_s)

    async def close(self) -> None:
        """Stop watching the attempts. Their prompts continue, and the next executor finds them in the journal."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def drain(self, *, within_s: float, forced: asyncio.Event) -> None:
        """Request no more work; finish the running attempt within ``within_s`` unless forced, else hand it back.

        An attempt that waits for the node is handed back at once. One that could not be handed back within
        ``HAND_BACK_S`` stays in the journal: the successor reports it, or its lease ends.
        """
        if not self._is_running:
            return
        self._draining.set()
        self.live_attempts.changed.set()
        self.live_attempts.release_waiting_attempts()
        await self.requester.cancel_requests()
        await wait_for_any(self._drained, forced, within_s=within_s)
        if not self._drained.is_set() and self.live_attempts:
            for attempt in self.live_attempts:
                attempt.request_stop(StopReason.RELEASED)
            await wait_for_any(self._drained, within_s=HAND_BACK_S)
        log.info("executor.drained", complete=self._drained.is_set())

    def _start_attempt(self, record: AttemptRecord, *, maybe_posted: bool) -> None:
        """Run an attempt in the background, unless it already runs."""
        attempt = self.live_attempts.add(record)
        if attempt not in self._tasks.values():
            task = asyncio.create_task(
                self._complete_attempt(attempt, maybe_posted=maybe_posted), name="executor.attempt"
            )
            self._tasks[task] = attempt
            task.add_done_callback(lambda _: self.live_attempts.changed.set())

    def _raise_failures(self) -> None:
        """Remove ended tasks and raise their errors. A failed attempt is started again from the journal."""
        for task, attempt in list(self._tasks.items()):
            if task.done():
                del self._tasks[task]
                self.live_attempts.remove(attempt)
                task.result()

    async def _request_work(self) -> AssignedWork | None:
        """Request work once the node is reachable. Never returns while the executor drains."""
        if not self.state.reachable.is_set():
            self.idle_time.switch_to(IdleReason.NODE_OFFLINE)
        await wait_for_any(self.state.reachable, self._draining)
        if not self._draining.is_set():
            return await self.requester.request_work()
        self._drained.set()
        await asyncio.get_running_loop().create_future()
        return None

    def _compute_prefetch_delay_s(self, attempts: Sequence[LiveAttempt], *, may_wait_for_report: bool = False) -> float:
        """Return the seconds until the next job should be requested; infinite if not before something changes.

        Args:
            attempts: the executor's attempts when the next job is assigned.
            may_wait_for_report: whether to wait for a report of an end that can carry the request.
        """
        now = time.monotonic()
        is_ready = self.prefetch and self.state.online and not self._is_requesting
        if not is_ready or self._draining.is_set() or now < self._paused_until:
            return math.inf
        places = [attempt.place for attempt in attempts]
        if not places or len(places) >= self.live_attempts.max_attempts or AttemptPlace.WAITING in places:
            return math.inf
        is_report_near = may_wait_for_report and {AttemptPlace.LEFT_NODE, AttemptPlace.ON_NODE} <= {*places}
        return self.prefetch_timing.compute_delay_s(now, is_report_near=is_report_near)

    async def _prefetch_next_job(self) -> None:
        """Request the next job. Its attempt then waits for the node."""
        self._is_requesting = True
        try:
            record = await self.requester.prefetch_job(self.live_attempts.list_in_order())
        finally:
            self._is_requesting = False
        self._start_prefetched_attempt(record)

    def _start_prefetched_attempt(self, record: AttemptRecord | None) -> None:
        if record is None:
            self.prefetch_timing.record_empty_reply(time.monotonic())
        else:
            self._start_attempt(record, maybe_posted=False)

    async def _complete_attempt(self, attempt: LiveAttempt, *, maybe_posted: bool) -> None:
        """Run an attempt to its end, and report its outcome to the scheduler."""
        record = attempt.record
        if not self.live_attempts.is_node_taken:
            self.idle_time.switch_to(IdleReason.PREPARING)
        with log_context(**self._log_fields(record)):
            log.info("executor.attempt.accepted", phase=record.phase, prompt_id=record.prompt_id)
            finish = record.finish or await self._run_or_hand_back(attempt, maybe_posted=maybe_posted)
            if finish is not None:
                await self._report_attempt(attempt, finish)
            self._count_node_faults(finish)
            if finish is not None and finish.outcome is Outcome.RELEASED:
                self.prefetch_timing.record_hand_back()
            self.live_attempts.remove(attempt)
            if not self.live_attempts:
                self.idle_time.switch_to(IdleReason.NO_WORK)
            self.journal.add_history_entry(record.prompt_id)
            await self._remove_history()

    async def _run_or_hand_back(self, attempt: LiveAttempt, *, maybe_posted: bool) -> FinishAttempt | None:
        """Run the attempt, unless it was assigned while the executor was being stopped."""
        if self._draining.is_set() and attempt.record.phase is Phase.ASSIGNED and not maybe_posted:
            return self.runner.hand_back_attempt(attempt)
        return await self._run_attempt(attempt, maybe_posted=maybe_posted)

    def _log_fields(self, record: AttemptRecord) -> dict[str, Any]:
        """Return the log fields of an attempt. Requests to other services carry the request id."""
        ref, request_id = record.ref, record.assignment.request_id
        fields = {"job_id": str(ref.job_id), "attempt": ref.attempt, "tenant_id": str(ref.tenant_id)}
        return fields | {"node": self.runner.settings.node} | ({"request_id": request_id} if request_id else {})

    async def _run_attempt(self, attempt: LiveAttempt, *, maybe_posted: bool) -> FinishAttempt | None:
        """Run the attempt. An unexpected error ends it, too; otherwise it would crash every executor that continues."""
        try:
            return await self.runner.run_attempt(attempt, maybe_posted=maybe_posted)
        except Exception:  # noqa: BLE001 - see above
            log.exception("executor.attempt.crashed")
            record = attempt.record
            self.journal.add_orphan(record.prompt_id)
            return FinishAttempt(ref=record.ref, outcome=Outcome.NODE_FAULT, error=ATTEMPT_CRASHED.error)

    async def _report_attempt(self, attempt: LiveAttempt, finish: FinishAttempt) -> None:
        """Report the end. If it is time to request the next job, the report carries that request."""
        others = [other for other in self.live_attempts.list_in_order() if other is not attempt]
        if finish.outcome is not Outcome.SUCCEEDED or self._compute_prefetch_delay_s(others) > 0:
            await self._report_and_clear_attempt(attempt, finish, None)
            return
        self._is_requesting = True
        try:
            request = await self.requester.build_prefetch_request(others)
            prefetched = await self._report_and_clear_attempt(attempt, finish, request)
        finally:
            self._is_requesting = False
        if request is not None:
            self.live_attempts.remove(attempt)
            self._start_prefetched_attempt(prefetched)

    async def _report_and_clear_attempt(
        self, attempt: LiveAttempt, finish: FinishAttempt, request: RequestWork | None
    ) -> AttemptRecord | None:
        """Report the end and remove it from the journal. Returns the attempt that was assigned upon the request."""
        record = attempt.record
        reply = await self.reporter.report_end(finish, request)
        applied, prefetched = reply.applied, self.requester.begin_prefetched_attempt(reply.assignment)
        self.journal.clear_attempt(record.prompt_id)
        if finish.outcome in {Outcome.FAILED, Outcome.NODE_FAULT} and len(self.live_attempts) == 1:
            self.state.loaded_models = ()  # it is unknown which ones the failed prompt had loaded
        log.info("executor.attempt.reported", outcome=finish.outcome, applied=applied)
        if finish.outcome is Outcome.SUCCEEDED and applied:
            tracker = ProgressTracker(record.assignment.graph)
            await ProgressPublisher(self.bus, attempt, tracker).publish_progress(succeeded=True)
        return prefetched

    async def _remove_history(self) -> None:
        """Delete history entries of earlier prompts on the node. A failed deletion is retried after the next job."""
        for prompt_id in self.journal.list_history_to_remove(keep=MAX_HISTORY_ENTRIES, limit=MAX_REMOVALS_PER_JOB):
            try:
                await self.node.delete_history(prompt_id)
            except NodeUnavailable as unavailable:
                log.info("executor.history.not_removed", why=str(unavailable))
                return
            self.journal.remove_history_entry(prompt_id)

    def _count_node_faults(self, finish: FinishAttempt | None) -> None:
        """Pause the requests of a node that fails repeatedly, so that other nodes get the jobs."""
        if finish is None or finish.outcome is not Outcome.NODE_FAULT:
            self._consecutive_faults = 0
            return
        self._consecutive_faults += 1
        if self._consecutive_faults > 1:
            pause_s = min(FAULT_PAUSE_S * 2 ** (self._consecutive_faults - 2), MAX_FAULT_PAUSE_S)
            self._paused_until = time.monotonic() + pause_s

    async def _pause_after_faults(self) -> None:
        pause_s = self._paused_until - time.monotonic()
        if pause_s > 0:
            self.idle_time.switch_to(IdleReason.PAUSED)
            await wait_for_any(self._draining, within_s=pause_s)
