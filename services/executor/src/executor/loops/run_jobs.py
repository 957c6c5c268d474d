"""The main loop: request work, run it, report it."""

import asyncio
from dataclasses import dataclass, field

from chassis.messaging.bus import Bus
from chassis.telemetry.logs import bound, log
from contracts.scheduler.attempts import FinishAttempt, Outcome
from executor.clients.comfyui import ComfyUI
from executor.clients.comfyui_responses import NodeUnavailable
from executor.domain.attempt import AttemptRecord
from executor.domain.idle_time import IdleReason, IdleTime
from executor.domain.loaded_models import list_models
from executor.domain.progress import ProgressTracker
from executor.store.journal import Journal
from executor.usecases.current_attempt import CurrentAttempt
from executor.usecases.node_state import NodeState
from executor.usecases.publish_progress import ProgressPublisher
from executor.usecases.report_attempt import AttemptReporter
from executor.usecases.request_work import WorkRequester
from executor.usecases.run_attempt import ATTEMPT_CRASHED, AttemptRunner

FAULT_PAUSE_S = 1.0  # seconds after the second consecutive node fault, doubled with each further one
# History entries kept on the node for operators; ComfyUI would keep 10,000 with their workflows.
MAX_HISTORY_ENTRIES = 200
MAX_REMOVALS_PER_JOB = 10  # entries removed per job
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

    async def tick(self) -> None:
        """Complete one attempt, or request work once without result."""
        record, maybe_posted = self.journal.read_attempt(), False
        if record is None:
            if not self.state.reachable.is_set():
                self.idle.enter(IdleReason.NODE_OFFLINE)
            await self.state.reachable.wait()
            assigned = await self.requester.request()
            if assigned is None:
                return
            record, maybe_posted = assigned.record, assigned.maybe_posted
        self.current.set_attempt(record)
        self.idle.enter(IdleReason.PREPARING)
        ref = record.ref
        with bound(job_id=str(ref.job_id), attempt=ref.attempt, tenant_id=str(ref.tenant_id)):
            log.info("executor.attempt.accepted", phase=record.phase, prompt_id=record.prompt_id)
            finish = record.finish or await self._run(record, maybe_posted=maybe_posted)
            if finish is not None:
                await self._report(record, finish)
            self.journal.add_history_entry(record.prompt_id)
            await self._remove_history()
        self.current.clear_attempt()
        self.idle.enter(IdleReason.NO_WORK)
        await self._pause_after_faults(finish)

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
        if finish.outcome is Outcome.SUCCEEDED:
            self.state.loaded_models = list_models(record.assignment.graph)
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
            self.idle.enter(IdleReason.PAUSED)
            await asyncio.sleep(min(FAULT_PAUSE_S * 2 ** (self._consecutive_faults - 2), MAX_FAULT_PAUSE_S))
