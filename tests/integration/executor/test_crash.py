"""A bug of the executor itself ends the attempt and stops its prompt."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from chassis.ids import new_id
from chassis.messaging.bus import Bus
from contracts.permissions import inbox_prefix
from contracts.scheduler.attempts import Outcome
from executor.clients.artifacts import Artifacts
from executor.clients.comfyui import ComfyUI
from executor.domain.attempt import Record
from executor.domain.occupancy import Occupancy
from executor.domain.verdict import AttemptResult
from executor.store.journal import Journal
from executor.usecases.ask_work import AskForWork
from executor.usecases.at_hand import CurrentAttempt
from executor.usecases.locate_files import LocateFiles
from executor.usecases.node_state import NodeState
from executor.usecases.post_prompt import PostPrompt
from executor.usecases.prepare_prompt import PreparePrompt
from executor.usecases.report_attempt import ReportAttempt
from executor.usecases.run_attempt import RunAttempt
from executor.usecases.stage_inputs import StageInputs
from executor.usecases.standby import Standby
from executor.usecases.store_output import StoreOutput
from executor.usecases.watch_occupancy import WatchOccupancy
from executor.usecases.worker_death import WorkerDeath
from tests.integration.executor.graphs import hello, slow

pytestmark = pytest.mark.usefixtures("gateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class Defective(PostPrompt):
    """A client that posts the prompt and then raises an unexpected exception."""

    async def __call__(self, record: Record, files: Mapping[str, str], *, perhaps_there: bool) -> AttemptResult | None:
        assert await PostPrompt.__call__(self, record, files, perhaps_there=perhaps_there) is None
        raise ZeroDivisionError


@pytest.mark.requirement("F-109")
async def test_prompt_orphaned_by_a_crash_is_stopped_before_the_next_job(settings, scheduler, node) -> None:
    told, at_hand, journal = settings(), CurrentAttempt(), Journal(settings().journal_path)
    name = told.node
    bus = Bus(told.nats_url, name="executor", user=None, password=None, inbox=inbox_prefix("executor", name))
    comfyui = ComfyUI(node.url, reply_s=told.reply_s, post_s=told.post_s, catalog_s=told.catalog_s)
    artifacts, standby, state = Artifacts(), Standby(node.url, name), NodeState(comfyui, catalog_every_s=60)
    report = ReportAttempt(bus=bus, node_name=name, at_hand=at_hand)
    stage = StageInputs(bus=bus, node=comfyui, artifacts=artifacts, node_name=name, unreachable_s=2)
    await state.look()
    prepare = PreparePrompt(state=state, journal=journal, catalog_s=5)
    post = Defective(node=comfyui, prepare=prepare, journal=journal, unreachable_s=2, stop_within_s=5)
    store = StoreOutput(node=comfyui, artifacts=artifacts, output_max_bytes=1 << 20, unreachable_s=2)
    death = WorkerDeath(comfyui, look_every_s=1)
    occupancy = WatchOccupancy(Occupancy(blocked_after_s=60, dead_worker_s=10), death)
    ask = AskForWork(
        standby=standby, state=state, node=comfyui, bus=bus, journal=journal, occupancy=occupancy, node_name=name,
        boot_id=new_id(), wait_s=1, stop_within_s=10,
    )  # fmt: skip
    run = RunAttempt(
        standby=standby, settings=told, node=comfyui, bus=bus, journal=journal,
        at_hand=at_hand, stage=stage, post=post, store=store, report=report, death=death,
        state=state, locate=LocateFiles(node=comfyui, unreachable_s=2),
    )  # fmt: skip
    journal.open()
    await bus.start()
    try:
        given = await scheduler.give(slow(60))
        taken = await ask()
        assert taken is not None
        at_hand.take(taken.record)
        finish = await run(taken.record, perhaps_there=False)
        assert finish is not None
        assert finish.error is not None
        assert (finish.outcome, finish.error.code, finish.node_died) == (Outcome.NODE_FAULT, "node.fault", False)
        assert journal.left() == [str(given.prompt_id)]
        assert await report.finished(finish)
        journal.clear()
        at_hand.release()
        await scheduler.give(hello())
        assert await ask() is not None
        assert journal.left() == []
        (entry,) = await node.ledger(given.prompt_id)
        assert entry["outcome"] == "interrupted"
    finally:
        await standby.close()
        await bus.stop()
        await comfyui.close()
        await artifacts.close()
        journal.close()
