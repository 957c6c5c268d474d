"""The main loop: request work, run it, report it."""

import asyncio
from dataclasses import dataclass, field

from chassis.messaging.bus import Bus
from chassis.telemetry.logs import bound, log
from contracts.scheduler.attempts import FinishAttempt, Outcome
from executor.clients.comfyui import ComfyUI
from executor.clients.comfyui_answers import NodeAway
from executor.domain.attempt import Record
from executor.domain.loaded import models_of
from executor.domain.progress import ProgressFold
from executor.store.journal import Journal
from executor.usecases.ask_work import AskForWork
from executor.usecases.at_hand import CurrentAttempt
from executor.usecases.node_state import NodeState
from executor.usecases.report_attempt import ReportAttempt
from executor.usecases.run_attempt import BUG, RunAttempt
from executor.usecases.say_progress import SayProgress

REST_S = 1.0  # seconds after the second consecutive node fault, doubled with each further one
HISTORY_KEPT = 200  # history entries kept on the node for operators; ComfyUI would keep 10,000 with their workflows
HISTORY_AT_ONCE = 10  # entries removed per job
LONGEST_REST_S = 15.0  # seconds, about a lease: other nodes had their chance


@dataclass(slots=True, kw_only=True)
class Work:
    """Runs one node's attempts, one at a time; the one in the journal comes first."""

    node: ComfyUI
    bus: Bus
    journal: Journal
    at_hand: CurrentAttempt
    state: NodeState
    ask: AskForWork
    run: RunAttempt
    report: ReportAttempt
    _faults: int = field(default=0, init=False)

    async def tick(self) -> None:
        """Complete one attempt, or request work once without result."""
        record, perhaps_there = self.journal.read(), False
        if record is None:
            await self.state.came.wait()
            taken = await self.ask()
            if taken is None:
                return
            record, perhaps_there = taken.record, taken.perhaps_there
        self.at_hand.take(record)
        ref = record.ref
        with bound(job_id=str(ref.job_id), attempt=ref.attempt, tenant_id=str(ref.tenant_id)):
            log.info("executor.attempt.taken", phase=record.phase, prompt_id=record.prompt_id)
            finish = record.finish or await self._run(record, perhaps_there=perhaps_there)
            if finish is not None:
                await self._reported(record, finish)
            self.journal.note_history(record.prompt_id)
            await self._remove_history()
        self.at_hand.release()
        await self._rest(finish)

    async def _run(self, record: Record, *, perhaps_there: bool) -> FinishAttempt | None:
        """Run the attempt. A bug ends it too: left in the journal it would crash every successor."""
        try:
            return await self.run(record, perhaps_there=perhaps_there)
        except Exception:  # noqa: BLE001 - the edge of an attempt
            log.exception("executor.attempt.crashed")
            self.journal.leave(record.prompt_id)
            return FinishAttempt(ref=record.ref, outcome=Outcome.NODE_FAULT, error=BUG.error)

    async def _reported(self, record: Record, finish: FinishAttempt) -> None:
        applied = await self.report.finished(finish)
        self.journal.clear()
        if finish.outcome is Outcome.SUCCEEDED:
            self.state.loaded = models_of(record.assignment.graph)
        log.info("executor.attempt.reported", outcome=finish.outcome, applied=applied)
        if finish.outcome is Outcome.SUCCEEDED and applied:
            fold = ProgressFold(record.assignment.graph)
            await SayProgress(self.bus, record, fold, self.at_hand).say(succeeded=True)

    async def _remove_history(self) -> None:
        """Delete history entries of earlier prompts on the node; failures are retried after the next job."""
        for prompt_id in self.journal.history_to_remove(keep=HISTORY_KEPT, most=HISTORY_AT_ONCE):
            try:
                await self.node.forget(prompt_id)
            except NodeAway as away:
                log.info("executor.history.not_removed", why=str(away))
                return
            self.journal.drop_history(prompt_id)

    async def _rest(self, finish: FinishAttempt | None) -> None:
        """Pause a node that fails repeatedly, so that other nodes take the jobs."""
        if finish is None or finish.outcome is not Outcome.NODE_FAULT:
            self._faults = 0
            return
        self._faults += 1
        if self._faults > 1:
            await asyncio.sleep(min(REST_S * 2 ** (self._faults - 2), LONGEST_REST_S))
