"""Constructs the executor."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI
from stamina import AsyncRetryingCaller

from chassis.http.app import create_web
from chassis.ids import new_id
from chassis.loop import Loop
from chassis.messaging.bus import Bus
from contracts.executor.attempts import CANCEL_ATTEMPT
from contracts.permissions import inbox_prefix
from executor.clients.artifacts import Artifacts
from executor.clients.comfyui import ComfyUI
from executor.consumers import on_cancel
from executor.domain.occupancy import Occupancy
from executor.loops.work import Work
from executor.settings import Settings
from executor.store.journal import Journal, JournalTaken
from executor.usecases.ask_work import AskForWork
from executor.usecases.at_hand import CurrentAttempt
from executor.usecases.beat import SendHeartbeat
from executor.usecases.clear_node import ClearNode
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

CLEAR_EVERY_S = 60.0  # woken on demand
# A predecessor that is shutting down exits within moments.
JOURNAL_OPENING = AsyncRetryingCaller(attempts=None, timeout=None, wait_initial=0.2, wait_max=2.0, wait_jitter=0.2)


class NotReady(Exception):
    """A dependency of the executor is unavailable."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Objects that live as long as the process."""

    bus: Bus
    node: ComfyUI
    artifacts: Artifacts
    journal: Journal
    at_hand: CurrentAttempt
    state: NodeState
    beating: Loop
    loops: tuple[Loop, ...]
    standby: Standby


def create_app(settings: Settings) -> FastAPI:
    """Build the ASGI application of one node's executor. It runs jobs while it is served."""
    parts: list[Parts] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        built = _build(settings)
        parts.append(built)
        async with AsyncExitStack() as stack:
            stack.callback(built.journal.close)
            stack.push_async_callback(built.artifacts.close)
            stack.push_async_callback(built.node.close)
            stack.push_async_callback(built.bus.stop)
            stack.push_async_callback(built.standby.close)
            for loop in built.loops:
                stack.push_async_callback(loop.stop)
            starting = asyncio.create_task(_start(built, settings), name="executor.start")
            stack.push_async_callback(asyncio.wait, {starting})
            stack.callback(starting.cancel)
            yield

    def probe(is_well: Callable[[Parts], bool]) -> Callable[[], Awaitable[None]]:
        async def check() -> None:
            if not is_well(parts[0]):
                raise NotReady

        return check

    probes = {
        "nats": probe(lambda parts: parts.bus.connected),
        "node": probe(lambda parts: parts.state.online),
        "catalog": probe(lambda parts: parts.state.reported),
    }
    return create_web("executor", lifespan=lifespan, probes=probes)


def _build(settings: Settings) -> Parts:
    name, boot_id = settings.node, new_id()
    password = settings.nats_password
    bus = Bus(
        settings.nats_url,
        name="executor",
        user=settings.nats_user,
        password=password.get_secret_value() if password else None,
        inbox=inbox_prefix("executor", name),
    )
    node = ComfyUI(
        settings.comfyui_url,
        reply_s=settings.reply_s,
        post_s=settings.post_s,
        catalog_s=settings.catalog_s,
        answer_max_bytes=settings.answer_max_bytes,
    )
    artifacts, journal, at_hand = (
        Artifacts(settings.journal_path.parent),
        Journal(settings.journal_path),
        CurrentAttempt(),
    )
    state = NodeState(node, catalog_every_s=settings.catalog_every_s)
    clear = ClearNode(node, node_name=name, at_hand=at_hand, within_s=settings.stop_within_s)
    clearing = Loop("executor.clear", clear.tick, every_s=CLEAR_EVERY_S)
    death = WorkerDeath(node, look_every_s=settings.dead_worker_s / 2)
    occupancy = WatchOccupancy(
        Occupancy(blocked_after_s=settings.blocked_after_s, dead_worker_s=settings.dead_worker_s), death
    )
    beat = SendHeartbeat(
        bus=bus,
        node_name=name,
        boot_id=boot_id,
        at_hand=at_hand,
        state=state,
        occupancy=occupancy,
        clear=clear,
        clear_now=clearing.wake,
    )
    beating = Loop("executor.beat", beat, every_s=settings.heartbeat_s)
    probing = Loop("executor.probe", state.look, every_s=settings.probe_s)
    for source in (state, occupancy, clear):
        source.when_changed(beating.wake)
    state.when_reading_is_due(probing.wake)
    report = ReportAttempt(bus=bus, node_name=name, at_hand=at_hand)
    stage = StageInputs(bus=bus, node=node, artifacts=artifacts, node_name=name, unreachable_s=settings.unreachable_s)
    post = PostPrompt(
        node=node,
        prepare=PreparePrompt(state=state, journal=journal, catalog_s=settings.catalog_s),
        journal=journal,
        unreachable_s=settings.unreachable_s,
        stop_within_s=settings.stop_within_s,
    )
    store = StoreOutput(
        node=node,
        artifacts=artifacts,
        output_max_bytes=settings.output_max_bytes,
        unreachable_s=settings.unreachable_s,
    )
    standby = Standby(settings.comfyui_url, name)
    ask = AskForWork(
        standby=standby,
        state=state,
        node=node,
        bus=bus,
        journal=journal,
        occupancy=occupancy,
        node_name=name,
        boot_id=boot_id,
        wait_s=settings.ask_wait_s,
        stop_within_s=settings.stop_within_s,
    )
    run = RunAttempt(
        standby=standby,
        settings=settings,
        node=node,
        bus=bus,
        journal=journal,
        at_hand=at_hand,
        stage=stage,
        post=post,
        store=store,
        report=report,
        death=death,
        state=state,
        locate=LocateFiles(node=node, unreachable_s=settings.unreachable_s),
    )
    work = Work(node=node, bus=bus, journal=journal, at_hand=at_hand, state=state, ask=ask, run=run, report=report)
    loops = (
        beating,
        probing,
        clearing,
        Loop("executor.models", state.look_at_models, every_s=settings.models_every_s),
        Loop("executor.work", work.tick, every_s=0),
    )
    return Parts(bus, node, artifacts, journal, at_hand, state, beating, loops, standby)


async def _start(parts: Parts, settings: Settings) -> None:
    """Start working. Load the attempt in the journal before the first heartbeat: a heartbeat without it gives it up."""
    await JOURNAL_OPENING.on(JournalTaken)(asyncio.to_thread, parts.journal.open)
    record = await asyncio.to_thread(parts.journal.read)
    if record is not None:
        parts.at_hand.take(record)
    parts.bus.when_connected(parts.beating.wake)
    for loop in parts.loops:
        loop.start()
    # Last, because it waits for NATS while the node is already being driven.
    await parts.bus.start()
    await parts.bus.subscribe(CANCEL_ATTEMPT, on_cancel(parts.at_hand), key=settings.node)
