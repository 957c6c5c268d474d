"""A bug of the executor itself ends the attempt and stops its prompt."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from chassis.ids import new_id
from chassis.messaging.bus import Bus
from chassis.telemetry.metrics import Metrics
from contracts.permissions import inbox_prefix
from contracts.scheduler.attempts import Outcome
from executor.clients.artifacts import Artifacts
from executor.clients.comfyui import ComfyUI
from executor.domain.attempt import AttemptRecord
from executor.domain.attempt_result import AttemptResult
from executor.domain.occupancy import Occupancy
from executor.domain.prefetch_timing import PrefetchTiming
from executor.store.journal import Journal
from executor.usecases.detect_worker_death import WorkerDeathDetector
from executor.usecases.live_attempts import LiveAttempts
from executor.usecases.locate_files import FileLocator
from executor.usecases.measure_node import NodeMetrics
from executor.usecases.node_state import NodeState
from executor.usecases.post_prompt import PromptPoster
from executor.usecases.prepare_prompt import Prompt, PromptBuilder
from executor.usecases.report_attempt import AttemptReporter
from executor.usecases.request_work import WorkRequester
from executor.usecases.run_attempt import AttemptRunner
from executor.usecases.stage_inputs import InputStager
from executor.usecases.standby_socket import StandbySocket
from executor.usecases.upload_output import OutputUploader
from executor.usecases.watch_occupancy import OccupancyMonitor
from tests.integration.executor.graphs import hello, slow

pytestmark = pytest.mark.usefixtures("gateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class Defective(PromptPoster):
    """Posts the prompt, and then fails as only a defect does."""

    async def post_prompt(
        self, record: AttemptRecord, files: Mapping[str, str], *, maybe_posted: bool, prompt: Prompt | None = None
    ) -> AttemptResult | None:
        assert await PromptPoster.post_prompt(self, record, files, maybe_posted=maybe_posted, prompt=prompt) is None
        raise ZeroDivisionError


@pytest.mark.requirement("F-109")
async def test_prompt_orphaned_by_a_crash_is_stopped_before_the_next_job(settings, scheduler, node) -> None:
    told, live, journal = settings(), LiveAttempts(), Journal(settings().journal_path)
    name = told.node
    bus = Bus(told.nats_url, name="executor", user=None, password=None, inbox_prefix=inbox_prefix("executor", name))
    comfyui = ComfyUI(node.url, reply_s=told.reply_s, post_s=told.post_s, catalog_s=told.catalog_s)
    artifacts, standby, state = Artifacts(), StandbySocket(node.url, name), NodeState(comfyui, catalog_every_s=60)
    report = AttemptReporter(bus=bus, node_name=name, live=live)
    stager = InputStager(bus=bus, node=comfyui, artifacts=artifacts, node_name=name, unreachable_s=2)
    await state.check_node()
    builder = PromptBuilder(state=state, journal=journal, catalog_s=5)
    poster = Defective(node=comfyui, builder=builder, journal=journal, unreachable_s=2, stop_within_s=5)
    death = WorkerDeathDetector(comfyui, check_every_s=1)
    occupancy = OccupancyMonitor(Occupancy(blocked_after_s=60, dead_worker_s=10), death)
    uploader = OutputUploader(
        node=comfyui, artifacts=artifacts, output_max_bytes=1 << 20, unreachable_s=2, storage_wait_s=9,
        occupancy=occupancy,
    )  # fmt: skip
    measured = NodeMetrics(Metrics("executor"), name)
    requester = WorkRequester(
        standby=standby, state=state, node=comfyui, bus=bus, journal=journal, occupancy=occupancy, node_name=name,
        idle=measured.idle,
        boot_id=new_id(), wait_s=1, stop_within_s=10,
    )  # fmt: skip
    runner = AttemptRunner(
        standby=standby, settings=told, node=comfyui, bus=bus, journal=journal,
        live=live, stager=stager, poster=poster, uploader=uploader, report=report, death=death,
        metrics=measured,
        state=state, locator=FileLocator(node=comfyui, unreachable_s=2), timing=PrefetchTiming(hold_s=3),
    )  # fmt: skip
    journal.open()
    await bus.start()
    try:
        given = await scheduler.give(slow(60))
        assigned = await requester.request_work()
        assert assigned is not None
        attempt = live.add(assigned.record)
        finish = await runner.run_attempt(attempt, maybe_posted=False)
        assert finish is not None
        assert finish.error is not None
        assert (finish.outcome, finish.error.code, finish.node_died) == (Outcome.NODE_FAULT, "node.fault", False)
        assert journal.list_orphans() == [str(given.prompt_id)]
        assert await report.report_end(finish)
        journal.clear_attempt(assigned.record.prompt_id)
        live.remove(attempt)
        await scheduler.give(hello())
        assert await requester.request_work() is not None
        assert journal.list_orphans() == []
        (entry,) = await node.ledger(given.prompt_id)
        assert entry["outcome"] == "interrupted"
    finally:
        await standby.close()
        await bus.stop()
        await comfyui.close()
        await artifacts.close()
        journal.close()
