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
from executor.loops.run_jobs import WorkLoop
from executor.settings import Settings
from executor.store.journal import Journal, JournalLocked
from executor.usecases.clear_node import NodeCleaner
from executor.usecases.current_attempt import CurrentAttempt
from executor.usecases.detect_worker_death import WorkerDeathDetector
from executor.usecases.locate_files import FileLocator
from executor.usecases.node_state import NodeState
from executor.usecases.post_prompt import PromptPoster
from executor.usecases.prepare_prompt import PromptBuilder
from executor.usecases.report_attempt import AttemptReporter
from executor.usecases.request_work import WorkRequester
from executor.usecases.run_attempt import AttemptRunner
from executor.usecases.send_heartbeat import HeartbeatSender
from executor.usecases.stage_inputs import InputStager
from executor.usecases.standby_socket import StandbySocket
from executor.usecases.upload_output import OutputUploader
from executor.usecases.watch_occupancy import OccupancyMonitor

CLEAR_EVERY_S = 60.0  # woken on demand
# A predecessor that is shutting down exits within moments.
JOURNAL_OPENING = AsyncRetryingCaller(attempts=None, timeout=None, wait_initial=0.2, wait_max=2.0, wait_jitter=0.2)


class NotReady(Exception):
    """A dependency of the executor is unavailable."""


@dataclass(frozen=True, slots=True)
class Components:
    """Objects that live as long as the process."""

    bus: Bus
    node: ComfyUI
    artifacts: Artifacts
    journal: Journal
    current: CurrentAttempt
    state: NodeState
    heartbeat_loop: Loop
    loops: tuple[Loop, ...]
    standby: StandbySocket


def create_app(settings: Settings) -> FastAPI:
    """Build the ASGI application of one node's executor. It runs jobs while it is served."""
    components: list[Components] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        built = _build(settings)
        components.append(built)
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

    def probe(is_ready: Callable[[Components], bool]) -> Callable[[], Awaitable[None]]:
        async def check() -> None:
            if not is_ready(components[0]):
                raise NotReady

        return check

    probes = {
        "nats": probe(lambda components: components.bus.connected),
        "node": probe(lambda components: components.state.online),
        "catalog": probe(lambda components: components.state.is_catalog_reported),
    }
    return create_web("executor", lifespan=lifespan, probes=probes)


def _build(settings: Settings) -> Components:
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
    artifacts, journal, current = (
        Artifacts(settings.journal_path.parent),
        Journal(settings.journal_path),
        CurrentAttempt(),
    )
    state = NodeState(node, catalog_every_s=settings.catalog_every_s)
    clear = NodeCleaner(node, node_name=name, current=current, within_s=settings.stop_within_s)
    clear_loop = Loop("executor.clear", clear.tick, every_s=CLEAR_EVERY_S)
    death = WorkerDeathDetector(node, check_every_s=settings.dead_worker_s / 2)
    occupancy = OccupancyMonitor(
        Occupancy(blocked_after_s=settings.blocked_after_s, dead_worker_s=settings.dead_worker_s), death
    )
    heartbeat = HeartbeatSender(
        bus=bus,
        node_name=name,
        boot_id=boot_id,
        current=current,
        state=state,
        occupancy=occupancy,
        clear=clear,
        clear_now=clear_loop.wake,
    )
    heartbeat_loop = Loop("executor.heartbeat", heartbeat.send, every_s=settings.heartbeat_s)
    probe_loop = Loop("executor.probe", state.check_node, every_s=settings.probe_s)
    for source in (state, occupancy, clear):
        source.when_changed(heartbeat_loop.wake)
    state.when_catalog_is_due(probe_loop.wake)
    report = AttemptReporter(bus=bus, node_name=name, current=current)
    stager = InputStager(bus=bus, node=node, artifacts=artifacts, node_name=name, unreachable_s=settings.unreachable_s)
    poster = PromptPoster(
        node=node,
        builder=PromptBuilder(state=state, journal=journal, catalog_s=settings.catalog_s),
        journal=journal,
        unreachable_s=settings.unreachable_s,
        stop_within_s=settings.stop_within_s,
    )
    uploader = OutputUploader(
        node=node,
        artifacts=artifacts,
        output_max_bytes=settings.output_max_bytes,
        unreachable_s=settings.unreachable_s,
        storage_wait_s=settings.storage_wait_s,
        occupancy=occupancy,
    )
    standby = StandbySocket(settings.comfyui_url, name)
    requester = WorkRequester(
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
    runner = AttemptRunner(
        standby=standby,
        settings=settings,
        node=node,
        bus=bus,
        journal=journal,
        current=current,
        stager=stager,
        poster=poster,
        uploader=uploader,
        report=report,
        death=death,
        state=state,
        locator=FileLocator(node=node, unreachable_s=settings.unreachable_s),
    )
    work = WorkLoop(
        node=node,
        bus=bus,
        journal=journal,
        current=current,
        state=state,
        requester=requester,
        runner=runner,
        report=report,
    )
    loops = (
        heartbeat_loop,
        probe_loop,
        clear_loop,
        Loop("executor.models", state.check_models, every_s=settings.models_every_s),
        Loop("executor.run_jobs", work.tick, every_s=0),
    )
    return Components(bus, node, artifacts, journal, current, state, heartbeat_loop, loops, standby)


async def _start(components: Components, settings: Settings) -> None:
    """Start working. Load the attempt in the journal before the first heartbeat: a heartbeat without it gives it up."""
    await JOURNAL_OPENING.on(JournalLocked)(asyncio.to_thread, components.journal.open)
    record = await asyncio.to_thread(components.journal.read_attempt)
    if record is not None:
        components.current.set_attempt(record)
    components.bus.when_connected(components.heartbeat_loop.wake)
    for loop in components.loops:
        loop.start()
    # Last, because it waits for NATS while the node is already being driven.
    await components.bus.start()
    await components.bus.subscribe(CANCEL_ATTEMPT, on_cancel(components.current), key=settings.node)
