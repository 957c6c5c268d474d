"""Runs one attempt on the node to its end, or continues one that an earlier executor began."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.scheduler.attempts import FinishAttempt, Outcome
from contracts.scheduler.jobs import JobWarning
from contracts.scheduler.outputs import Output
from executor.clients.comfyui import ComfyUIClient
from executor.clients.comfyui_responses import THREAD_PARSE_BYTES, HistoryEntry, NodeUnavailable
from executor.domain.attempt import AttemptRecord, Phase, StopReason
from executor.domain.attempt_result import (
    CANCELLED,
    HISTORY_UNREADABLE,
    NODE_LOST,
    NODE_UNREACHABLE,
    RELEASED,
    SUCCEEDED,
    AttemptResult,
    build_node_fault,
    classify_history,
    compute_gpu_seconds,
    find_run_period,
)
from executor.domain.collect_outputs import FoundOutput, ValueTooDeep
from executor.domain.idle_time import IdleReason
from executor.domain.image_quota import ImageCounter, ImageQuota
from executor.domain.inline_values import limit_inline_values
from executor.domain.loaded_models import list_graph_models
from executor.domain.missing_outputs import build_missing_outputs_warning
from executor.domain.model_loads import ModelLoads
from executor.domain.output_collector import OutputCollector
from executor.domain.prefetch_timing import PrefetchTiming
from executor.domain.progress import ProgressTracker
from executor.domain.staging import build_attempt_folder
from executor.domain.websocket_images import WebsocketImageDecoder
from executor.settings import Settings
from executor.store.journal import Journal, JournalNotWritable
from executor.usecases.detect_worker_death import WorkerDeathDetector
from executor.usecases.live_attempts import AttemptPlace, LiveAttempt, LiveAttempts
from executor.usecases.locate_files import FileLocator
from executor.usecases.measure_node import NodeMetrics
from executor.usecases.node_state import NodeState
from executor.usecases.output_grants import OutputGrants
from executor.usecases.post_prompt import PromptPoster
from executor.usecases.prepare_prompt import Prompt
from executor.usecases.publish_progress import ProgressPublisher
from executor.usecases.queue_uploads import OutputUploadQueue
from executor.usecases.receive_images import ImageReceiver
from executor.usecases.report_attempt import AttemptReporter
from executor.usecases.stage_inputs import UPLOAD_LOST, InputStager, StagedFile, StagingFailed
from executor.usecases.standby_socket import StandbySocket
from executor.usecases.stop_prompt import stop_prompt
from executor.usecases.upload_output import OutputUploader, StoringFailed
from executor.usecases.watch_prompt import PromptWatcher

OVERSIZED_HISTORY_BYTES = 4 << 20  # a larger history entry is removed from the node's memory at once
RELEASE_STOP_S = 2.0  # time for the prompt of a released attempt to stop: the machine may be shut down in seconds
FREE_PAUSES_S = (0.3, 0.3)  # after each request to free memory, until the node's worker has handled it
START_WAIT_S = 1.0  # how long the report of the end waits for that of the start
ATTEMPT_CRASHED = build_node_fault("node.fault", "The executor failed while it ran the job.")


Parsed = TypeVar("Parsed")


class NotStarted(Exception):
    """The attempt is handed back without having been started on the node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRunner:
    """Runs attempts on one node. One at a time is on the node; others wait for it, or store their outputs."""

    settings: Settings
    node: ComfyUIClient
    bus: Bus
    journal: Journal
    live_attempts: LiveAttempts
    stager: InputStager
    poster: PromptPoster
    uploader: OutputUploader
    reporter: AttemptReporter
    standby_socket: StandbySocket
    state: NodeState
    locator: FileLocator
    death_detector: WorkerDeathDetector
    metrics: NodeMetrics
    prefetch_timing: PrefetchTiming

    async def run_attempt(self, attempt: LiveAttempt, *, maybe_posted: bool) -> FinishAttempt | None:
        """Run the attempt; its result is in the journal when this returns.

        It is handed back if the journal cannot be written before its prompt is posted.

        Cancellation of this task leaves the prompt running and the journal unchanged: the successor continues.

        Returns:
            The report to send, or None if the lease was lost.
        """
        prompt_id = attempt.record.prompt_id
        try:
            async with (
                _run_task_during_block(attempt.stop_requested.wait()) as stop,
                _run_task_during_block(self._run_to_end(attempt, maybe_posted)) as running,
            ):
                await asyncio.wait({stop, running}, return_when=asyncio.FIRST_COMPLETED)
                finish = running.result() if running.done() else None
            if finish is None:
                finish = await self._stop_attempt(attempt, maybe_posted=maybe_posted)
        finally:
            self._release_node(attempt)
        if finish is None:
            self.journal.clear_attempt(prompt_id)
            return None
        attempt.mark_ended()
        self.journal.record_result(prompt_id, finish)
        log.info("executor.attempt.ended", outcome=finish.outcome, outputs=len(finish.outputs))
        return finish

    def hand_back_attempt(self, attempt: LiveAttempt) -> FinishAttempt:
        """End an attempt that was not posted to the node; its result is in the journal when this returns."""
        finish = _build_finish(attempt.record, RELEASED)
        attempt.mark_ended()
        self.journal.record_result(attempt.record.prompt_id, finish)
        return finish

    async def _stop_attempt(self, attempt: LiveAttempt, *, maybe_posted: bool) -> FinishAttempt | None:
        """Stop the prompt if it may be on the node; the prompt of another attempt stays."""
        record, released = attempt.record, attempt.stop_reason is StopReason.RELEASED
        has_waited = attempt.place is AttemptPlace.WAITING and record.phase is Phase.ASSIGNED and not maybe_posted
        if not has_waited and attempt.place is not AttemptPlace.LEFT_NODE:
            within_s = RELEASE_STOP_S if released else self.settings.stop_within_s
            await stop_prompt(self.node, self.journal, record.prompt_id, within_s=within_s)
        if released:
            return _build_finish(record, RELEASED)
        if attempt.stop_reason is StopReason.LOST:
            return None
        return _build_finish(record, CANCELLED, gpu_s=self._compute_charged_s(attempt))

    def _release_node(self, attempt: LiveAttempt) -> None:
        """Release the node for the next attempt, and record that it is idle."""
        if attempt.place is AttemptPlace.ON_NODE:
            self.metrics.idle_time.switch_to(IdleReason.FINISHING)
            self.prefetch_timing.record_prompt_end(time.monotonic())
        attempt.release_node()

    def _compute_charged_s(self, attempt: LiveAttempt) -> float:
        """Return the time to charge for an attempt that was stopped; 0 before it was posted."""
        last = self.journal.read_attempt(attempt.record.prompt_id) or attempt.record
        return 0.0 if last.phase is Phase.ASSIGNED else _round_elapsed_s(attempt)

    async def _run_to_end(self, attempt: LiveAttempt, maybe_posted: bool) -> FinishAttempt:
        record = attempt.record
        try:
            return await self._run_with_inputs(attempt, maybe_posted)
        except NotStarted as reason:
            log.info("executor.attempt.handed_back", why=str(reason))
            return _build_finish(record, RELEASED)
        except JournalNotWritable as reason:
            log.error("executor.attempt.handed_back", why=f"the journal cannot be written: {reason}")
            if maybe_posted:
                self.journal.add_orphan(record.prompt_id)
            return _build_finish(record, RELEASED)
        except StagingFailed as reason:
            if (
                reason.result is NODE_UNREACHABLE
                and attempt.place is AttemptPlace.WAITING
                and self.live_attempts.is_node_taken
            ):
                return _build_finish(record, RELEASED)  # the node died with another attempt
            # A node that becomes unreachable before it can have received the prompt does not count against the job.
            lost = reason.result is NODE_UNREACHABLE and record.phase is Phase.POSTING
            return _build_finish(
                record, NODE_LOST if lost else reason.result, gpu_s=self._compute_charged_s(attempt) if lost else 0.0
            )
        except Exception:  # noqa: BLE001 - an unexpected error ends only this attempt; the job is tried on another node
            log.exception("executor.attempt.crashed")
            self.journal.add_orphan(record.prompt_id)
            return _build_finish(record, ATTEMPT_CRASHED, gpu_s=_round_elapsed_s(attempt))

    async def _run_with_inputs(self, attempt: LiveAttempt, maybe_posted: bool) -> FinishAttempt:
        """Run the attempt after its input files are staged. Time spent staging and waiting is not charged."""
        record = attempt.record
        if maybe_posted or record.phase is not Phase.ASSIGNED:
            # Before anything else, so that adopted attempts get the node in order, before one that was never posted.
            await attempt.acquire_node()
        inputs = record.assignment.inputs
        if not inputs or record.phase is Phase.POSTED:
            return await self._run_prompt(attempt, {}, maybe_posted)
        staged = await self.stager.stage_files(record.ref, inputs)
        finish = await self._run_prompt(attempt, staged, maybe_posted)
        if finish.outcome is Outcome.FAILED and not await self.stager.has_files(staged):
            return _build_finish(record, UPLOAD_LOST)
        return finish

    async def _run_prompt(
        self, attempt: LiveAttempt, staged: Mapping[str, StagedFile], maybe_posted: bool
    ) -> FinishAttempt:
        record = attempt.record
        files = {upload: file.graph_value for upload, file in staged.items()}
        tracker = ProgressTracker(record.assignment.graph)
        publisher = ProgressPublisher(self.bus, attempt, tracker)
        grants = OutputGrants(self.bus, self.settings.node, record.ref)
        counter = await asyncio.to_thread(ImageCounter, record.assignment.graph, record.assignment.frames_per_image)
        uploads = OutputUploadQueue(
            self.uploader,
            grants,
            max_concurrent=self.settings.uploads,
            quota=ImageQuota(counter, record.assignment.images),
            reserve=partial(self.reporter.reserve_images, record.ref),
        )

        collector = OutputCollector(record.assignment.graph, build_attempt_folder(record.ref))

        def on_outputs(outputs: Mapping[str, Any]) -> None:
            with suppress(ValueTooDeep):  # the history entry decides
                uploads.start_uploads(collector.collect_during_run(outputs))

        def on_begin() -> None:
            self._set_begun_at(attempt)

        def on_end() -> None:
            self.journal.add_expanding_classes(collector.expansion.classes)  # the next prompt may be posted now
            if not attempt.stop_requested.is_set():  # else the prompt is being stopped, and the node looked at again
                self._release_node(attempt)

        watcher = PromptWatcher(
            self.node,
            attempt,
            tracker,
            publisher.changed,
            self.settings,
            death_detector=self.death_detector,
            on_begin=on_begin,
            on_end=on_end,
            on_outputs=on_outputs,
        )
        images = ImageReceiver(
            WebsocketImageDecoder(record.assignment.graph, record.prompt_id),
            on_image=lambda image: uploads.start_uploads([collector.add_websocket_image(image)]),
        )
        async with AsyncExitStack() as stack:
            stack.push_async_callback(uploads.close)
            stack.callback(lambda: self.journal.add_expanding_classes(collector.expansion.classes))
            loads = partial(self.metrics.count_model_load, ModelLoads(record.assignment.graph))
            listeners = EventListeners(watcher, images, collector, loads)
            entry_or_finish, wall_s = await self._post_and_watch(
                attempt, files, listeners, publisher, grants, maybe_posted=maybe_posted
            )
            self._release_node(attempt)
            if isinstance(entry_or_finish, FinishAttempt):
                return entry_or_finish
            return await self._collect_and_store(record, entry_or_finish, wall_s, uploads, listeners)

    async def _post_and_watch(
        self,
        attempt: LiveAttempt,
        files: Mapping[str, str],
        listeners: "EventListeners",
        publisher: ProgressPublisher,
        grants: OutputGrants,
        *,
        maybe_posted: bool,
    ) -> tuple[HistoryEntry | FinishAttempt, float]:
        """Return the prompt's history entry, or how the attempt ended without one; and the seconds it took."""
        record, watcher, images = attempt.record, listeners.watcher, listeners.images
        if maybe_posted or record.phase is not Phase.ASSIGNED:
            images.on_disconnect()  # frames sent before we connect are lost
        async with self.standby_socket.open_for_attempt(record) as events:
            await events.listen(partial(listeners.on_event, record.prompt_id), listeners.on_disconnect, images.on_frame)
            prompt = await self._acquire_node(attempt, files)
            if record.assignment.free_memory and record.phase is Phase.ASSIGNED and not maybe_posted:
                await self._free_memory()
            record, posted_at = attempt.record, time.monotonic()
            refused = await self.poster.post_prompt(record, files, maybe_posted=maybe_posted, prompt=prompt)
            if refused is not None:
                self._release_waiting_attempts_on_node_fault(refused)
                return _build_finish(
                    record, refused, gpu_s=_round_elapsed_s(attempt) if refused.node_died else 0.0
                ), 0.0
            self.state.loaded_models = list_graph_models(record.assignment.graph)
            self.metrics.idle_time.stop()
            self.prefetch_timing.record_prompt_start(posted_at)
            self.live_attempts.changed.set()
            async with (
                _run_task_during_block(self.reporter.report_start(record.ref)) as start,
                _run_task_during_block(publisher.publish_changes()),
                _run_task_during_block(grants.request_in_advance()),
            ):
                entry_or_finish = await watcher.wait_until_ended()
                if isinstance(entry_or_finish, HistoryEntry):
                    self._release_node(attempt)
                    await images.wait_for_late_images(had_oversized_message=lambda: events.had_oversized_message)
                await asyncio.wait({start}, timeout=START_WAIT_S)
        await publisher.publish_progress()
        if isinstance(entry_or_finish, AttemptResult):
            self._release_waiting_attempts_on_node_fault(entry_or_finish)
            self.journal.add_history_entry(record.prompt_id, oversized=True)  # perhaps, but nobody will read it
            # The prompt may still run, or run when the node returns: it is stopped before the next one.
            waits_for_stop = entry_or_finish.outcome is Outcome.FAILED and not watcher.is_node_unavailable
            within_s = self.settings.stop_within_s if waits_for_stop else 0.0
            if attempt.place is AttemptPlace.ON_NODE:
                await stop_prompt(self.node, self.journal, record.prompt_id, within_s=within_s)
            gpu_s = _round_elapsed_s(attempt) if entry_or_finish.may_have_run else 0.0
            return _build_finish(record, entry_or_finish, gpu_s=gpu_s), 0.0
        fresh = record.phase is Phase.ASSIGNED and not maybe_posted
        return entry_or_finish, time.monotonic() - posted_at if fresh else _round_elapsed_s(attempt)

    async def _acquire_node(self, attempt: LiveAttempt, files: Mapping[str, str]) -> Prompt | None:
        """Wait for the node, unless the attempt has it. Meanwhile, build its prompt and check its policy.

        Raises:
            NotStarted: the attempt waited too long, or the node is not usable.
            StagingFailed: the tenant's policy refuses the graph.
        """
        record = attempt.record
        if attempt.place is AttemptPlace.ON_NODE:
            return None
        prompt = None
        if has_to_wait := self.live_attempts.is_node_taken:
            expanding = self.journal.list_expanding_classes()
            with suppress(NodeUnavailable):
                prompt = await self.poster.builder.build_prompt(record, files)
            try:
                async with asyncio.timeout(self.settings.prefetch_hold_s):
                    await attempt.acquire_node()
            except TimeoutError:
                raise NotStarted("the job before it takes too long") from None
            if not self.state.online or self.journal.has_orphans():
                raise NotStarted("the node is offline or has an orphaned prompt")
            if self.journal.list_expanding_classes() != expanding:
                prompt = None  # build it again: nodes of these classes need markers against cached outputs
        else:
            await attempt.acquire_node()
        if has_to_wait or record.assignment.inputs:
            self._set_begun_at(attempt)
        return prompt

    def _set_begun_at(self, attempt: LiveAttempt) -> None:
        """Let the run time of an attempt, which is limited and charged, begin now."""
        attempt.begin_run_time()
        self.journal.set_begun_at(attempt.record.prompt_id, attempt.record.begun_at)

    async def _free_memory(self) -> None:
        """Free the node's memory, and give its worker time to do so.

        An unavailable node is no error here: posting the prompt reports it.
        """
        for pause_s in FREE_PAUSES_S:
            try:
                await self.node.free_memory()
            except NodeUnavailable as unavailable:
                log.info("executor.node.unavailable", why=str(unavailable))
                return
            await asyncio.sleep(pause_s)
        self.state.loaded_models = ()
        log.info("executor.node.memory_freed")

    def _release_waiting_attempts_on_node_fault(self, result: AttemptResult) -> None:
        """Hand back the waiting attempts after a node fault: other nodes may run them sooner."""
        if result.outcome is Outcome.NODE_FAULT:
            self.live_attempts.release_waiting_attempts()

    async def _collect_and_store(
        self,
        record: AttemptRecord,
        history: HistoryEntry,
        wall_s: float,
        uploads: OutputUploadQueue,
        listeners: "EventListeners",
    ) -> FinishAttempt:
        entry = history.content
        oversized = history.size_bytes > OVERSIZED_HISTORY_BYTES
        self.journal.add_history_entry(record.prompt_id, oversized=oversized)
        gpu_s, result = compute_gpu_seconds(entry, wall_s), classify_history(entry)
        if result.outcome is Outcome.SUCCEEDED:
            result = listeners.images.find_failure() or result
        if result.outcome is not Outcome.SUCCEEDED:
            return _build_finish(record, result, gpu_s=gpu_s)
        try:
            unproven = await _parse_history(history, listeners.collector.list_unproven_files)
            written = await self.locator.find_written_files(
                unproven, find_run_period(entry), prompt_id=None if oversized else record.prompt_id
            )
            found = await _parse_history(history, partial(listeners.collector.collect_from_history, written=written))
            stored = await uploads.finish_uploads(found)
        except ValueTooDeep:
            return _build_finish(record, HISTORY_UNREADABLE, gpu_s=gpu_s)
        except StoringFailed as reason:
            return _build_finish(record, reason.result, gpu_s=gpu_s)
        missing = self._build_missing_outputs_warning(record, found)
        warnings = (*stored.warnings, missing) if missing else stored.warnings
        return _build_finish(
            record,
            SUCCEEDED,
            gpu_s=gpu_s,
            outputs=limit_inline_values(stored.outputs),
            images=stored.images,
            warnings=warnings,
        )

    def _build_missing_outputs_warning(self, record: AttemptRecord, found: Sequence[FoundOutput]) -> JobWarning | None:
        classes = self.state.classes
        if classes is None:
            return None
        specs = classes.specs
        return build_missing_outputs_warning(
            record.assignment.graph,
            lambda class_type: class_type in specs and specs[class_type].output_node,
            (item.node_id for item in found),
        )


@dataclass(frozen=True, slots=True)
class EventListeners:
    """The listeners of one prompt."""

    watcher: PromptWatcher
    images: ImageReceiver
    collector: OutputCollector
    count_model_load: Callable[[str, Mapping[str, Any]], None]

    def on_event(self, prompt_id: str, kind: str, data: dict[str, Any]) -> None:
        """Forward an event. The watcher gets all events, because those after a reconnect may have no prompt id."""
        if data.get("prompt_id") == prompt_id:
            self.images.on_event(kind, data)
            self.collector.expansion.apply_event(kind, data)
            self.count_model_load(kind, data)
        self.watcher.on_event(kind, data)

    def on_disconnect(self) -> None:
        """Forward a disconnect."""
        self.images.on_disconnect()
        self.watcher.on_disconnect()


async def _parse_history(history: HistoryEntry, parse: Callable[[Mapping[str, Any]], Parsed]) -> Parsed:
    """Parse a history entry, in a thread if it is large."""
    if history.size_bytes < THREAD_PARSE_BYTES:
        return parse(history.content)
    return await asyncio.to_thread(parse, history.content)


@asynccontextmanager
async def _run_task_during_block(work: Coroutine[Any, Any, Any]) -> AsyncIterator[asyncio.Task[Any]]:
    """Run a coroutine as a task during the block, and cancel it at the end."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


def _round_elapsed_s(attempt: LiveAttempt) -> float:
    return round(attempt.elapsed_s, 3)


def _build_finish(
    record: AttemptRecord,
    result: AttemptResult,
    *,
    gpu_s: float = 0.0,
    outputs: tuple[Output, ...] = (),
    images: int = 0,
    warnings: tuple[JobWarning, ...] = (),
) -> FinishAttempt:
    return FinishAttempt(
        ref=record.ref,
        outcome=result.outcome,
        error=result.error,
        gpu_seconds=gpu_s,
        outputs=outputs,
        images=images,
        node_died=result.node_died,
        node_failed=result.node_failed,
        warnings=warnings,
    )
