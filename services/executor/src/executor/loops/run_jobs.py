"""The main loop: request work, run it, report it."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from chassis.messaging.bus import Bus
from chassis.shutdown import wait_for_any
from chassis.telemetry.logs import bound, log
from contracts.scheduler.attempts import FinishAttempt, Outcome
from executor.clients.comfyui import ComfyUI
from executor.clients.comfyui_responses import NodeUnavailable
from executor.domain.attempt import AttemptRecord, Phase, StopReason
from executor.domain.idle_time import IdleReason, IdleTime
from executor.domain.progress import ProgressTracker
from executor.store.journal import Journal
from executor.usecases.current_attempt import CurrentAttempt
from executor.usecases.node_state import NodeState
from executor.usecases.publish_progress import ProgressPublisher
from executor.usecases.report_attempt import AttemptReporter
from executor.usecases.request_work import AssignedWork, WorkRequester
from executor.usecases.run_attempt import ATTEMPT_CRASHED, AttemptRunner

FAULT_PAUSE_S = 1.0  # seconds after the second consecutive node fault, doubled with each further one
# History entries kept on the node for operators; ComfyUI would keep 10,000 with their workflows.
MAX_HISTORY_ENTRIES = 200
MAX_REMOVALS_PER_JOB = 10  # entries removed per job
HAND_BACK_S = 5.0  # seconds to stop the prompt and report
MAX_FAULT_PAUSE_S = 15.0  # seconds, about a lease: other nodes had their chance


@dataclass(slots=True, kw_only=True)
class WorkLoop:
    """Runs one node's attempts, one at a time; the one in the journal comes first."""

    node: ComfyUI
    bus: Bus
    journal: Journal
    current: CurrentAttempt
    state: NodeState
    requester: WorkRequester
    runner: AttemptRunner
    report: AttemptReporter
    idle: IdleTime
    _consecutive_faults: int = field(default=0, init=False)
    _is_running: bool = field(default=False, init=False)
    _draining: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _drained: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def tick(self) -> None:
        """Complete one attempt, or request work once without result."""
        self._is_running = True
        record, maybe_posted = self.journal.read_attempt(), False
        if record is None:
            assigned = await self._request()
            if assigned is None:
                return
            record, maybe_posted = assigned.record, assigned.maybe_posted
        self.current.set_attempt(record)
        self.idle.enter(IdleReason.PREPARING)
        with bound(**self._log_fields(record)):
            log.info("executor.attempt.accepted", phase=record.phase, prompt_id=record.prompt_id)
            finish = record.finish or await self._end(record, maybe_posted=maybe_posted)
            if finish is not None:
                await self._report(record, finish)
            self.journal.add_history_entry(record.prompt_id)
            await self._remove_history()
        self.current.clear_attempt()
        self.idle.enter(IdleReason.NO_WORK)
        await self._pause_after_faults(finish)

    async def drain(self, *, within_s: float, hurried: asyncio.Event) -> None:
        """Request no more work; finish the running attempt within ``within_s`` unless hurried, else hand it back.

        An attempt that could not be handed back within ``HAND_BACK_S`` stays in the journal: the successor reports it,
        or its lease ends.
        """
        if not self._is_running:
            return
        self._draining.set()
        await self.requester.cancel()
        await wait_for_any(self._drained, hurried, within_s=within_s)
        if not self._drained.is_set() and self.current.ref is not None:
            self.current.request_stop(StopReason.RELEASED, self.current.ref)
            await wait_for_any(self._drained, within_s=HAND_BACK_S)
        log.info("executor.drained", complete=self._drained.is_set())

    async def _request(self) -> AssignedWork | None:
        """Request work once the node is reachable. Never returns if there is to be no more work."""
        if not self.state.reachable.is_set():
            self.idle.enter(IdleReason.NODE_OFFLINE)
        await wait_for_any(self.state.reachable, self._draining)
        if not self._draining.is_set():
            return await self.requester.request()
        self._drained.set()
        await asyncio.get_running_loop().create_future()
        return None

    async def _end(self, record: AttemptRecord, *, maybe_posted: bool) -> FinishAttempt | None:
        """Run the attempt, unless it was assigned while the executor was being stopped."""
        if self._draining.is_set() and record.phase is Phase.ASSIGNED and not maybe_posted:
            return self.runner.hand_back(record)
        return await self._run(record, maybe_posted=maybe_posted)

    def _log_fields(self, record: AttemptRecord) -> dict[str, Any]:
        """Fields of every line about an attempt. Requests carry the request id on to the other services."""
        ref, request_id = record.ref, record.assignment.request_id
        fields = {"job_id": str(ref.job_id), "attempt": ref.attempt, "tenant_id": str(ref.tenant_id)}
        return fields | {"node": self.runner.settings.node} | ({"request_id": request_id} if request_id else {})

    async def _run(self, record: AttemptRecord, *, maybe_posted: bool) -> FinishAttempt | None:
        """Run the attempt. A bug ends it too: left in the journal it would crash every successor."""
        try:
            return await self.runner.run(record, maybe_posted=maybe_posted)
        except Exception:  # noqa: BLE001 - the edge of an attempt
            log.exception("executor.attempt.crashed")
            self.journal.add_orphan(record.prompt_id)
            return FinishAttempt(ref=record.ref, outcome=Outcome.NODE_FAULT, error=ATTEMPT_CRASHED.error)

    async def _report(self, record: AttemptRecord, finish: FinishAttempt) -> None:
        applied = await self.report.report_end(finish)
        self.journal.clear_attempt()
        if finish.outcome in {Outcome.FAILED, Outcome.NODE_FAULT}:
            self.state.loaded_models = ()  # how far it came is unknown
        log.info("executor.attempt.reported", outcome=finish.outcome, applied=applied)
        if finish.outcome is Outcome.SUCCEEDED and applied:
            tracker = ProgressTracker(record.assignment.graph)
            await ProgressPublisher(self.bus, record, tracker, self.current).publish(succeeded=True)

    async def _remove_history(self) -> None:
        """Delete history entries of earlier prompts on the node; failures are retried after the next job."""
        for prompt_id in self.journal.list_history_to_remove(keep=MAX_HISTORY_ENTRIES, most=MAX_REMOVALS_PER_JOB):
            try:
                await self.node.delete_history(prompt_id)
            except NodeUnavailable as unavailable:
                log.info("executor.history.not_removed", why=str(unavailable))
                return
            self.journal.remove_history_entry(prompt_id)

    async def _pause_after_faults(self, finish: FinishAttempt | None) -> None:
        """Pause a node that fails repeatedly, so that other nodes take the jobs."""
        if finish is None or finish.outcome is not Outcome.NODE_FAULT:
            self._consecutive_faults = 0
            return
        self._consecutive_faults += 1
        if self._consecutive_faults > 1:
            pause_s = min(FAULT_PAUSE_S * 2 ** (self._consecutive_faults - 2), MAX_FAULT_PAUSE_S)
            self.idle.enter(IdleReason.PAUSED)
            await wait_for_any(self._draining, within_s=pause_s)
