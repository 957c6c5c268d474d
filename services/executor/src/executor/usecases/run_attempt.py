"""Runs one attempt on the node to its end, from wherever an earlier executor left it."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.scheduler.attempts import FinishAttempt, Outcome
from contracts.scheduler.jobs import JobWarning
from contracts.scheduler.outputs import Output
from executor.clients.comfyui import ComfyUI
from executor.clients.comfyui_answers import BESIDE_BYTES, HistoryEntry
from executor.domain.attempt import Phase, Record, Stop
from executor.domain.collection import Collection
from executor.domain.harvest import Found, TooDeep
from executor.domain.image_costs import ImageAllowance, ImageCosts
from executor.domain.inline_values import within_bounds
from executor.domain.progress import ProgressFold
from executor.domain.sent_images import SentImages
from executor.domain.silent_nodes import warn_of_silent_nodes
from executor.domain.staging import attempt_folder
from executor.domain.verdict import (
    ANSWER_UNREADABLE,
    CANCELLED,
    LOST,
    NODE_AWAY,
    SUCCEEDED,
    AttemptResult,
    gpu_seconds,
    judge,
    node_fault,
    started_ms,
)
from executor.settings import Settings
from executor.store.journal import Journal
from executor.usecases.at_hand import CurrentAttempt
from executor.usecases.grants import Grants
from executor.usecases.locate_files import LocateFiles
from executor.usecases.node_state import NodeState
from executor.usecases.post_prompt import PostPrompt
from executor.usecases.receive_images import ReceiveImages
from executor.usecases.report_attempt import ReportAttempt
from executor.usecases.say_progress import SayProgress
from executor.usecases.stage_inputs import FORGOTTEN, CannotStage, StagedFile, StageInputs
from executor.usecases.standby import Standby
from executor.usecases.stop_prompt import stop_prompt
from executor.usecases.store_output import CannotStore, StoreOutput
from executor.usecases.storing import Storing
from executor.usecases.watch_prompt import WatchPrompt
from executor.usecases.worker_death import WorkerDeath

OVERSIZED = 4 << 20  # bytes of a history entry that is removed from the node's memory at once
START_WAIT_S = 1.0  # report the start before the end
BUG = node_fault("node.fault", "The job could not be followed to its end.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAttempt:
    """Runs attempts on one node, one at a time."""

    settings: Settings
    node: ComfyUI
    bus: Bus
    journal: Journal
    at_hand: CurrentAttempt
    stage: StageInputs
    post: PostPrompt
    store: StoreOutput
    report: ReportAttempt
    standby: Standby
    state: NodeState
    locate: LocateFiles
    death: WorkerDeath

    async def __call__(self, record: Record, *, perhaps_there: bool) -> FinishAttempt | None:
        """Run the attempt; its result is in the journal when this returns.

        Cancellation of this task leaves the prompt running and the journal unchanged: the successor continues.

        Returns:
            The report to send, or None if the lease was lost.
        """
        async with _beside(self.at_hand.stopped.wait()) as stop, _beside(self._drive(record, perhaps_there)) as drive:
            await asyncio.wait({stop, drive}, return_when=asyncio.FIRST_COMPLETED)
            finish = drive.result() if drive.done() else None
        if finish is None:
            finish = await self._stopped(record)
        if finish is None:
            self.journal.clear()
            return None
        self.at_hand.ended()
        self.journal.end(finish)
        log.info("executor.attempt.ended", outcome=finish.outcome, outputs=len(finish.outputs))
        return finish

    async def _stopped(self, record: Record) -> FinishAttempt | None:
        await stop_prompt(self.node, self.journal, record.prompt_id, within_s=self.settings.stop_within_s)
        if self.at_hand.stop is Stop.LOST:
            return None
        return _finish(record, CANCELLED, gpu_s=self._spent_s(record))

    def _spent_s(self, record: Record) -> float:
        """The maximum time that the attempt cost the node; 0 before it was posted."""
        last = self.journal.read() or record
        return 0.0 if last.phase is Phase.ASSIGNED else _passed_s(last)

    async def _drive(self, record: Record, perhaps_there: bool) -> FinishAttempt:
        try:
            return await self._staged(record, perhaps_there)
        except CannotStage as reason:
            # While the node cannot have received the prompt, its absence is not charged to the job.
            lost = reason.verdict is NODE_AWAY and record.phase is Phase.POSTING
            return _finish(record, LOST if lost else reason.verdict, gpu_s=self._spent_s(record) if lost else 0.0)
        except Exception:  # noqa: BLE001 - the edge of an attempt: what is not understood is tried on another node
            log.exception("executor.attempt.crashed")
            self.journal.leave(record.prompt_id)
            return _finish(record, BUG, gpu_s=_passed_s(record))

    async def _staged(self, record: Record, perhaps_there: bool) -> FinishAttempt:
        """Run it once the node has its files. Staging time is not charged."""
        inputs = record.assignment.inputs
        if not inputs or record.phase is Phase.POSTED:
            return await self._driven(record, {}, perhaps_there)
        staged = await self.stage(record.ref, inputs)
        if record.phase is Phase.ASSIGNED and not perhaps_there:
            record = replace(record, begun_at=time.time())
            self.journal.begin(record)
        finish = await self._driven(record, staged, perhaps_there)
        if finish.outcome is Outcome.FAILED and not await self.stage.still_there(staged):
            return _finish(record, FORGOTTEN)
        return finish

    async def _driven(self, record: Record, staged: Mapping[str, StagedFile], perhaps_there: bool) -> FinishAttempt:
        files = {upload: file.value for upload, file in staged.items()}
        fold = ProgressFold(record.assignment.graph)
        saying = SayProgress(self.bus, record, fold, self.at_hand)
        grants = Grants(self.bus, self.settings.node, record.ref)
        costs = await asyncio.to_thread(ImageCosts, record.assignment.graph, record.assignment.frames_per_image)
        storing = Storing(
            self.store,
            grants,
            at_once=self.settings.uploads,
            allowance=ImageAllowance(costs, record.assignment.images),
            reserve=partial(self.report.reserve, record.ref),
        )

        collection = Collection(record.assignment.graph, attempt_folder(record.ref))

        def made(outputs: Mapping[str, Any]) -> None:
            with suppress(TooDeep):  # the history entry decides
                storing.ahead(collection.made_so_far(outputs))

        watch = WatchPrompt(self.node, record, fold, saying.changed, self.settings, death=self.death, made=made)
        images = ReceiveImages(
            SentImages(record.assignment.graph, record.prompt_id),
            received=lambda image: storing.ahead([collection.sent(image)]),
        )
        async with AsyncExitStack() as stack:
            stack.push_async_callback(storing.close)
            stack.callback(lambda: self.journal.note_expanding(collection.expansion.classes))
            followers = Followers(watch, images, collection)
            seen, wall_s = await self._followed(record, files, followers, saying, grants, perhaps_there=perhaps_there)
            if isinstance(seen, FinishAttempt):
                return seen
            return await self._harvested(record, seen, wall_s, storing, followers)

    async def _followed(
        self,
        record: Record,
        files: Mapping[str, str],
        followers: "Followers",
        saying: SayProgress,
        grants: Grants,
        *,
        perhaps_there: bool,
    ) -> tuple[HistoryEntry | FinishAttempt, float]:
        """Return the prompt's history entry, or how the attempt ended without one; and the seconds it took."""
        watch, images = followers.watch, followers.images
        if perhaps_there or record.phase is not Phase.ASSIGNED:
            images.on_drop()  # earlier frames are lost
        async with self.standby.following(record) as events:
            await events.tell(partial(followers.on_event, record.prompt_id), followers.on_drop, images.on_frame)
            posted_at = time.monotonic()
            refused = await self.post(record, files, perhaps_there=perhaps_there)
            if refused is not None:
                return _finish(record, refused, gpu_s=_passed_s(record) if refused.node_died else 0.0), 0.0
            async with (
                _beside(self.report.started(record.ref)) as start,
                _beside(saying.keep_saying()),
                _beside(grants.prepare()),
            ):
                seen = await watch()
                if isinstance(seen, HistoryEntry):
                    await images.settle(overflowed=lambda: events.overflowed)
                await asyncio.wait({start}, timeout=START_WAIT_S)
        await saying.say()
        if isinstance(seen, AttemptResult):
            self.journal.note_history(record.prompt_id, oversized=True)  # perhaps, but nobody will read it
            # The prompt may still run, or run when the node returns: it is stopped before the next one.
            is_waited_for = seen.outcome is Outcome.FAILED and not watch.is_away
            within_s = self.settings.stop_within_s if is_waited_for else 0.0
            await stop_prompt(self.node, self.journal, record.prompt_id, within_s=within_s)
            return _finish(record, seen, gpu_s=_passed_s(record) if seen.begun else 0.0), 0.0
        fresh = record.phase is Phase.ASSIGNED and not perhaps_there
        return seen, time.monotonic() - posted_at if fresh else _passed_s(record)

    async def _harvested(
        self, record: Record, seen: HistoryEntry, wall_s: float, storing: Storing, followers: "Followers"
    ) -> FinishAttempt:
        entry = seen.content
        self.journal.note_history(record.prompt_id, oversized=seen.size_bytes > OVERSIZED)
        gpu_s, verdict = gpu_seconds(entry, wall_s), judge(entry)
        if verdict.outcome is Outcome.SUCCEEDED:
            verdict = followers.images.fault() or verdict
        if verdict.outcome is not Outcome.SUCCEEDED:
            return _finish(record, verdict, gpu_s=gpu_s)
        try:
            located = await self.locate(await _reported(seen, followers.collection), started_ms(entry))
            found = followers.collection.complete(located)
            stored = await storing.all(found)
        except TooDeep:
            return _finish(record, ANSWER_UNREADABLE, gpu_s=gpu_s)
        except CannotStore as reason:
            return _finish(record, reason.verdict, gpu_s=gpu_s)
        silent = self._silent_nodes(record, found)
        warnings = (*stored.warnings, silent) if silent else stored.warnings
        return _finish(
            record,
            SUCCEEDED,
            gpu_s=gpu_s,
            outputs=within_bounds(stored.outputs),
            images=stored.images,
            warnings=warnings,
        )

    def _silent_nodes(self, record: Record, found: Sequence[Found]) -> JobWarning | None:
        classes = self.state.classes
        if classes is None:
            return None
        specs = classes.specs
        return warn_of_silent_nodes(
            record.assignment.graph,
            lambda class_type: class_type in specs and specs[class_type].output_node,
            (item.node_id for item in found),
        )


@dataclass(frozen=True, slots=True)
class Followers:
    """The listeners of one prompt's events."""

    watch: WatchPrompt
    images: ReceiveImages
    collection: Collection

    def on_event(self, prompt_id: str, kind: str, data: dict[str, Any]) -> None:
        """Forward an event. Events of other prompts go only to the watcher, which recognizes greetings."""
        if data.get("prompt_id") == prompt_id:
            self.images.on_event(kind, data)
            self.collection.expansion.take(kind, data)
        self.watch.on_event(kind, data)

    def on_drop(self) -> None:
        """Forward that events were lost."""
        self.images.on_drop()
        self.watch.on_drop()


async def _reported(seen: HistoryEntry, collection: Collection) -> list[Found]:
    if seen.size_bytes < BESIDE_BYTES:
        return collection.reported(seen.content)
    return await asyncio.to_thread(collection.reported, seen.content)


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, Any]) -> AsyncIterator[asyncio.Task[Any]]:
    """Run a task during the block and stop it at the end."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


def _passed_s(record: Record) -> float:
    return round(max(time.time() - record.begun_at, 0.0), 3)


def _finish(
    record: Record,
    verdict: AttemptResult,
    *,
    gpu_s: float = 0.0,
    outputs: tuple[Output, ...] = (),
    images: int = 0,
    warnings: tuple[JobWarning, ...] = (),
) -> FinishAttempt:
    return FinishAttempt(
        ref=record.ref,
        outcome=verdict.outcome,
        error=verdict.error,
        gpu_seconds=gpu_s,
        outputs=outputs,
        images=images,
        node_died=verdict.node_died,
        warnings=warnings,
    )
