"""An unexpected exception in the executor ends the attempt and stops its prompt."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from chassis.ids import new_id
from chassis.messaging.bus import Bus
from chassis.telemetry.metrics import Metrics
from contracts.permissions import inbox_prefix
from contracts.scheduler.attempts import Outcome
from executor.clients.artifacts import ArtifactClient
from executor.clients.comfyui import ComfyUIClient
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
class CrashingPromptPoster(PromptPoster):
    """Posts the prompt, and then raises an unexpected error."""

    async def post_prompt(
        self, record: AttemptRecord, files: Mapping[str, str], *, maybe_posted: bool, prompt: Prompt | None = None
    ) -> AttemptResult | None:
        assert await PromptPoster.post_prompt(self, record, files, maybe_posted=maybe_posted, prompt=prompt) is None
        raise ZeroDivisionError


@pytest.mark.requirement("F-109")
async def test_prompt_orphaned_by_a_crash_is_stopped_before_the_next_job(settings, scheduler, node) -> None:
    chosen, live_attempts, journal = settings(), LiveAttempts(), Journal(settings().journal_path)
    name = chosen.node
    bus = Bus(chosen.nats_url, name="executor", user=None, password=None, inbox_prefix=inbox_prefix("executor", name))
    comfyui = ComfyUIClient(node.url, reply_s=chosen.reply_s, post_s=chosen.post_s, catalog_s=chosen.catalog_s)
    artifacts, state = ArtifactClient(), NodeState(comfyui, catalog_every_s=60)
    standby_socket = StandbySocket(node.url, name)
    reporter = AttemptReporter(bus=bus, node_name=name, live_attempts=live_attempts)
    stager = InputStager(bus=bus, node=comfyui, artifacts=artifacts, node_name=name, unreachable_s=2)
    await state.check_node()
    builder = PromptBuilder(state=state, journal=journal, catalog_s=5)
    poster = CrashingPromptPoster(node=comfyui, builder=builder, journal=journal, unreachable_s=2, stop_within_s=5)
    death_detector = WorkerDeathDetector(comfyui, check_every_s=1)
    occupancy = OccupancyMonitor(Occupancy(blocked_after_s=60, dead_worker_s=10), death_detector)
    uploader = OutputUploader(
        node=comfyui, artifacts=artifacts, output_max_bytes=1 << 20, unreachable_s=2, storage_wait_s=9,
        occupancy=occupancy,
    )  # fmt: skip
    node_metrics = NodeMetrics(Metrics("executor"), name)
    requester = WorkRequester(
        standby_socket=standby_socket, state=state, node=comfyui, bus=bus, journal=journal, occupancy=occupancy,
        node_name=name, idle_time=node_metrics.idle_time,
        boot_id=new_id(), wait_s=1, stop_within_s=10,
    )  # fmt: skip
    runner = AttemptRunner(
        standby_socket=standby_socket, settings=chosen, node=comfyui, bus=bus, journal=journal,
        live_attempts=live_attempts, stager=stager, poster=poster, uploader=uploader, reporter=reporter,
        death_detector=death_detector, metrics=node_metrics,
        state=state, locator=FileLocator(node=comfyui, unreachable_s=2), prefetch_timing=PrefetchTiming(hold_s=3),
    )  # fmt: skip
    journal.open()
    await bus.start()
    try:
        given = await scheduler.offer_job(slow(60))
        assigned = await requester.request_work()
        assert assigned is not None
        attempt = live_attempts.add(assigned.record)
        finish = await runner.run_attempt(attempt, maybe_posted=False)
        assert finish is not None
        assert finish.error is not None
        assert (finish.outcome, finish.error.code, finish.node_died) == (Outcome.NODE_FAULT, "node.fault", False)
        assert journal.list_orphans() == [str(given.prompt_id)]
        assert await reporter.report_end(finish)
        journal.clear_attempt(assigned.record.prompt_id)
        live_attempts.remove(attempt)
        await scheduler.offer_job(hello())
        assert await requester.request_work() is not None
        assert journal.list_orphans() == []
        (entry,) = await node.ledger(given.prompt_id)
        assert entry["outcome"] == "interrupted"
    finally:
        await standby_socket.close()
        await bus.stop()
        await comfyui.close()
        await artifacts.close()
        journal.close()
