"""Constructs the executor."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fastapi import FastAPI

from chassis.faults import Fault, FaultLog
from chassis.http.app import NotReady, create_web_app
from chassis.ids import new_id
from chassis.lifecycle import retry_with_backoff, run_start_steps
from chassis.loop import Loop
from chassis.messaging.bus import Bus
from chassis.shutdown import Shutdown
from chassis.telemetry.metrics import Metrics
from contracts.executor.attempts import CANCEL_ATTEMPT, RELEASE_ATTEMPT
from contracts.permissions import inbox_prefix
from executor.clients.artifacts import ArtifactClient
from executor.clients.comfyui import ComfyUIClient
from executor.consumers import build_cancel_subscriber, build_release_subscriber
from executor.domain.occupancy import Occupancy
from executor.domain.prefetch_timing import PrefetchTiming
from executor.loops.run_jobs import WorkLoop
from executor.settings import Settings
from executor.store.journal import Journal, JournalLocked, JournalNotWritable
from executor.usecases import clean_output_folder, read_system
from executor.usecases.clean_output_folder import OutputFolderCleaner
from executor.usecases.clear_node import NodeCleaner
from executor.usecases.detect_worker_death import WorkerDeathDetector
from executor.usecases.live_attempts import LiveAttempts
from executor.usecases.locate_files import FileLocator
from executor.usecases.measure_node import FLUSH_S, NodeMetrics
from executor.usecases.node_state import NodeState
from executor.usecases.post_prompt import PromptPoster
from executor.usecases.prepare_prompt import PromptBuilder
from executor.usecases.read_system import SystemMonitor
from executor.usecases.report_attempt import AttemptReporter
from executor.usecases.request_work import WorkRequester
from executor.usecases.run_attempt import AttemptRunner
from executor.usecases.send_heartbeat import HeartbeatSender
from executor.usecases.stage_inputs import InputStager
from executor.usecases.standby_socket import StandbySocket
from executor.usecases.upload_output import OutputUploader
from executor.usecases.watch_occupancy import OccupancyMonitor

CLEAR_EVERY_S = 60.0  # woken on demand


@dataclass(frozen=True, slots=True)
class Components:
    """Objects that live as long as the process."""

    bus: Bus
    node: ComfyUIClient
    artifacts: ArtifactClient
    journal: Journal
    live_attempts: LiveAttempts
    state: NodeState
    heartbeat_loop: Loop
    loops: tuple[Loop, ...]
    standby_socket: StandbySocket
    work_loop: WorkLoop


def create_app(
    settings: Settings,
    metrics: Metrics | None = None,
    shutdown: Shutdown | None = None,
    *,
    wall_clock: Callable[[], float] = time.time,
) -> FastAPI:
    """Build the ASGI application of one node's executor. It runs jobs while it is served.

    Args:
        wall_clock: epoch seconds. It measures only run times that began in an earlier process.
    """
    metrics = metrics or Metrics("executor")
    metrics.record_build(schema="")
    components: list[Components] = []
    shutdown = shutdown or Shutdown()
    forced = shutdown.forced

    node_metrics = NodeMetrics(metrics, settings.node)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        built = _build_components(settings, node_metrics, metrics, wall_clock)
        components.append(built)
        async with AsyncExitStack() as stack:
            stack.callback(built.journal.close)
            stack.push_async_callback(built.artifacts.close)
            stack.push_async_callback(built.node.close)
            stack.push_async_callback(built.bus.stop)
            stack.push_async_callback(built.standby_socket.close)
            stack.push_async_callback(built.work_loop.close)
            for loop in built.loops:
                stack.push_async_callback(loop.stop)
            waiting = FaultLog()
            await stack.enter_async_context(
                run_start_steps(
                    (_start_components(built, settings, metrics, waiting),),
                    faults=lambda: (waiting.latest, built.bus.fault),
                    within_s=settings.start_within_s,
                )
            )
            yield

    async def drain() -> None:
        await components[0].work_loop.drain(within_s=settings.drain_s, forced=forced)

    if settings.on_stop == "hand_back":
        shutdown.register_drain(drain)

    def build_probe(is_ready: Callable[[Components], bool], reason: str) -> Callable[[], Awaitable[None]]:
        async def check_readiness() -> None:
            if not is_ready(components[0]):
                raise NotReady(reason)

        return check_readiness

    probes = {
        "nats": build_probe(
            lambda components: components.bus.connected,
            "NATS is unreachable. Check that it runs, and NATS_URL.",
        ),
        "node": build_probe(
            lambda components: components.state.online,
            "ComfyUI does not respond. Check that it runs, and EXECUTOR_COMFYUI_URL.",
        ),
        "catalog": build_probe(
            lambda components: components.state.is_catalog_reported,
            "The scheduler has not received the node's catalog yet. Wait, or check the scheduler.",
        ),
    }
    return create_web_app(
        "executor",
        lifespan=lifespan,
        metrics=metrics,
        probes=probes,
        dependencies={"nats": probes["nats"], "comfyui": probes["node"]},
        shutdown=shutdown,
    )


def _build_components(
    settings: Settings, node_metrics: NodeMetrics, metrics: Metrics, wall_clock: Callable[[], float]
) -> Components:
    name, boot_id = settings.node, new_id()
    password = settings.nats_password
    bus = Bus(
        settings.nats_url,
        name="executor",
        user=settings.nats_user,
        password=password.get_secret_value() if password else None,
        inbox_prefix=inbox_prefix("executor", name),
        tls=settings.nats_tls,
        record_request=metrics.record_rpc,
    )
    metrics.watch_expired_requests(bus.expired_requests)
    node = ComfyUIClient(
        settings.comfyui_url,
        reply_s=settings.reply_s,
        post_s=settings.post_s,
        catalog_s=settings.catalog_s,
        answer_max_bytes=settings.answer_max_bytes,
    )
    artifacts = ArtifactClient(settings.journal_path.parent)
    journal, live_attempts = Journal(settings.journal_path), LiveAttempts(wall_clock)
    prefetch_timing = PrefetchTiming(hold_s=settings.prefetch_hold_s)
    state = NodeState(node, catalog_every_s=settings.catalog_every_s)
    cleaner = NodeCleaner(node, node_name=name, live_attempts=live_attempts, within_s=settings.stop_within_s)
    clear_loop = Loop("executor.clear", cleaner.tick, every_s=CLEAR_EVERY_S)
    death_detector = WorkerDeathDetector(node, check_every_s=settings.dead_worker_s / 2)
    occupancy = OccupancyMonitor(
        Occupancy(blocked_after_s=settings.blocked_after_s, dead_worker_s=settings.dead_worker_s), death_detector
    )
    system_monitor = SystemMonitor(node, state)
    heartbeat = HeartbeatSender(
        bus=bus,
        node_name=name,
        boot_id=boot_id,
        live_attempts=live_attempts,
        state=state,
        occupancy=occupancy,
        system_monitor=system_monitor,
        cleaner=cleaner,
        wake_cleaner=clear_loop.wake,
    )
    heartbeat_loop = Loop("executor.heartbeat", heartbeat.send_heartbeat, every_s=settings.heartbeat_s)
    heartbeat.register_unanswered_callback(heartbeat_loop.wake_within)
    probe_loop = Loop("executor.probe", state.check_node, every_s=settings.probe_s)
    state.register_change_callback(heartbeat_loop.wake)
    occupancy.register_change_callback(heartbeat_loop.wake)
    cleaner.register_completion_callback(heartbeat_loop.wake)
    state.register_refresh_callback(probe_loop.wake)
    reporter = AttemptReporter(bus=bus, node_name=name, live_attempts=live_attempts)
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
    standby_socket = StandbySocket(settings.comfyui_url, name)
    requester = WorkRequester(
        standby_socket=standby_socket,
        state=state,
        node=node,
        bus=bus,
        journal=journal,
        occupancy=occupancy,
        node_name=name,
        boot_id=boot_id,
        idle_time=node_metrics.idle_time,
        wait_s=settings.ask_wait_s,
        stop_within_s=settings.stop_within_s,
        wall_clock=wall_clock,
    )
    runner = AttemptRunner(
        standby_socket=standby_socket,
        settings=settings,
        node=node,
        bus=bus,
        journal=journal,
        live_attempts=live_attempts,
        stager=stager,
        poster=poster,
        uploader=uploader,
        reporter=reporter,
        death_detector=death_detector,
        metrics=node_metrics,
        state=state,
        locator=FileLocator(node=node, unreachable_s=settings.unreachable_s),
        prefetch_timing=prefetch_timing,
    )
    work_loop = WorkLoop(
        node=node,
        bus=bus,
        journal=journal,
        live_attempts=live_attempts,
        state=state,
        requester=requester,
        runner=runner,
        reporter=reporter,
        idle_time=node_metrics.idle_time,
        prefetch_timing=prefetch_timing,
        prefetch=settings.prefetch,
    )
    loops: tuple[Loop, ...] = (
        heartbeat_loop,
        probe_loop,
        clear_loop,
        Loop("executor.read_system", system_monitor.tick, every_s=read_system.CHECK_EVERY_S),
        Loop("executor.models", state.check_models, every_s=settings.models_every_s),
        Loop("executor.record_idle_time", node_metrics.flush, every_s=FLUSH_S),
        Loop("executor.run_jobs", work_loop.tick, every_s=0),
    )
    if settings.output_dir is not None:
        folder_cleaner = OutputFolderCleaner(settings.output_dir, live_attempts, keep_s=settings.output_keep_s)
        loops += (Loop("executor.clean_output_folder", folder_cleaner.tick, every_s=clean_output_folder.CLEAN_EVERY_S),)
    return Components(
        bus, node, artifacts, journal, live_attempts, state, heartbeat_loop, loops, standby_socket, work_loop
    )


async def _start_components(components: Components, settings: Settings, metrics: Metrics, waiting: FaultLog) -> None:
    """Start all loops. Load the journal first: the scheduler ends attempts that are missing from a heartbeat."""
    await retry_with_backoff(partial(_open_journal, components.journal, settings.journal_path), waiting)
    for record in await asyncio.to_thread(components.journal.list_attempts):
        components.live_attempts.add(record)
    components.bus.on_connect(components.heartbeat_loop.wake)
    for loop in components.loops:
        loop.start(metrics)
    # Last, because it waits for NATS while the node is already being driven.
    await components.bus.start()
    await components.bus.subscribe(CANCEL_ATTEMPT, build_cancel_subscriber(components.live_attempts), key=settings.node)
    await components.bus.subscribe(
        RELEASE_ATTEMPT, build_release_subscriber(components.live_attempts), key=settings.node
    )


async def _open_journal(journal: Journal, path: Path) -> Fault | None:
    try:
        await asyncio.to_thread(journal.open)
    except JournalLocked as error:  # a predecessor that is shutting down exits within moments
        return Fault("journal", str(path), f"Another executor has it open: {error}.", "Stop the other executor.")
    except JournalNotWritable as error:
        return Fault("journal", str(path), f"It cannot be written: {error}.", "Free disk space, or make it writable.")
    except OSError as error:
        return Fault("journal", str(path), str(error), "Make the folder of EXECUTOR_JOURNAL_PATH writable.")
    return None
