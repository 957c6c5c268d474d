"""Watches a prompt until it ends. Events only trigger readings of the history, which decides."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from chassis.telemetry.logs import log
from executor.clients.comfyui import ComfyUIClient
from executor.clients.comfyui_responses import HistoryEntry, NodeUnavailable, UnreadableResponse
from executor.domain.attempt_result import (
    HISTORY_TOO_LARGE,
    HISTORY_UNREADABLE,
    NODE_BUSY,
    NODE_LOST,
    RUN_TIME_EXCEEDED,
    AttemptResult,
    build_node_death,
)
from executor.domain.progress import ProgressTracker
from executor.settings import Settings
from executor.usecases.detect_worker_death import WorkerDeathDetector
from executor.usecases.find_prompt import PromptState, PromptStatus, find_prompt
from executor.usecases.live_attempts import LiveAttempt

HISTORY_WAIT_S = 2.0  # for the history entry after the end event, which precedes it by milliseconds on an idle machine
HISTORY_PAUSE_S = 0.005
MAX_ABSENT_POLLS = 2  # polls that find the prompt neither in the queue nor in the history
MAX_UNREADABLE_POLLS = 2  # before an entry counts as unreadable: a proxy may have truncated the first response

WORKER_DEAD = build_node_death("node.fault", "The node accepts jobs but does not run them.")
NODE_STALLED = build_node_death("node.fault", "The node stopped making progress.")


class PromptWatcher:
    """Watches one prompt.

    Args:
        progress_changed: set when the progress has changed.
        death_detector: detects a dead worker in the node's log.
        on_begin: called when the prompt begins to run after it waited behind prompts of other clients.
        on_end: called when the node reports the end of the prompt, before its history entry exists. From then on the
            GPU is free, and an interruption of this prompt cannot hit the next one. May be called twice.
        on_outputs: called with the outputs of a graph node as in a history entry: ``{node id: outputs}``.
    """

    def __init__(
        self,
        node: ComfyUIClient,
        attempt: LiveAttempt,
        tracker: ProgressTracker,
        progress_changed: asyncio.Event,
        settings: Settings,
        *,
        death_detector: WorkerDeathDetector,
        on_begin: Callable[[], None],
        on_end: Callable[[], None],
        on_outputs: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._node, self._attempt, self._settings = node, attempt, settings
        self._tracker, self._progress_changed = tracker, progress_changed
        self._on_begin, self._on_end, self._on_outputs = on_begin, on_end, on_outputs
        self._death_detector = death_detector
        self._prompt_id = attempt.record.prompt_id
        self._poll_now, self._end_event_received, self._is_complete = asyncio.Event(), False, True
        self._last_event_at = time.monotonic()
        self._absent_polls, self._unavailable_s, self._unreadable_polls = 0, 0.0, 0
        self._idle_since: float | None = None
        self._unknown_since: float | None = None
        self._behind_since: float | None = None

    @property
    def is_node_unavailable(self) -> bool:
        """Whether the node did not answer the last request."""
        return self._unavailable_s > 0

    def on_event(self, kind: str, data: Mapping[str, Any]) -> None:
        """Process an event of the node. Events of other prompts are ignored."""
        # The first event after a reconnect has a node but no prompt id; only this prompt's client receives it.
        if data.get("prompt_id", self._prompt_id if kind == "executing" else None) != self._prompt_id:
            return
        self._last_event_at = time.monotonic()
        if kind == "executed" and isinstance(data.get("output"), Mapping):
            self._on_outputs({str(data.get("node")): data["output"]})
        if kind == "execution_success" and data.get("prompt_id") == self._prompt_id:
            self._on_end()
        # The last event of a prompt, sent after the history entry exists, unlike success and error events.
        if kind == "executing" and data.get("node") is None and "node" in data:
            if (
                data.get("prompt_id") == self._prompt_id
            ):  # after a reconnect it may come without id while the prompt runs
                self._on_end()
            self._end_event_received = True
            self._poll_now.set()
        elif self._tracker.apply_event(kind, data):
            self._progress_changed.set()

    def on_disconnect(self) -> None:
        """Record that events may have been lost, and poll at once."""
        self._is_complete = False
        self._poll_now.set()

    async def wait_until_ended(self) -> HistoryEntry | AttemptResult:
        """Wait for the end.

        Returns:
            The history entry, or how the attempt ended without one.
        """
        self._last_event_at = polled_at = time.monotonic()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.poll_s):
                    await self._poll_now.wait()
            self._poll_now.clear()
            try:
                outcome = await self._poll_or_wait()
            except UnreadableResponse as unreadable:
                log.warning("executor.history.unreadable", prompt_id=self._prompt_id, why=str(unreadable))
                outcome = self._check_unreadable_history(unreadable)
            except NodeUnavailable as unavailable:
                log.info("executor.node.unavailable", why=str(unavailable))
                self._unreadable_polls = 0
                outcome = self._check_unavailable_node(time.monotonic() - polled_at)
            else:
                self._unavailable_s, self._unreadable_polls = 0.0, 0
            if outcome is not None:
                return outcome
            polled_at = time.monotonic()

    async def _poll_or_wait(self) -> HistoryEntry | AttemptResult | None:
        """Return how the prompt ended; None while it runs."""
        if self._end_event_received:
            self._end_event_received = False
            if entry := await self._wait_for_history():
                return entry
        return await self._poll_history()

    async def _wait_for_history(self) -> HistoryEntry | None:
        """Return the history entry after the end event; None if it does not appear in time. Polling goes on then."""
        deadline, pause = time.monotonic() + HISTORY_WAIT_S, HISTORY_PAUSE_S
        try:
            while time.monotonic() < deadline:
                if entry := await self._node.read_history(self._prompt_id):
                    return entry
                await asyncio.sleep(pause)
                pause = min(2 * pause, 0.2)
        except UnreadableResponse:
            raise
        except NodeUnavailable as unavailable:
            if unavailable.may_have_arrived:  # the prompt ended, but its entry takes too long to return
                self._end_event_received = True
                raise UnreadableResponse(str(unavailable)) from unavailable
            log.info("executor.node.unavailable", why=str(unavailable))
        return None

    def _check_unreadable_history(self, unreadable: UnreadableResponse) -> AttemptResult | None:
        """Return a failure of the workflow, which made the node record an unreadable entry; None to read it again."""
        if unreadable.too_large:
            return HISTORY_TOO_LARGE
        self._unreadable_polls += 1
        self._poll_now.set()
        return HISTORY_UNREADABLE if self._unreadable_polls >= MAX_UNREADABLE_POLLS else None

    async def _poll_history(self) -> HistoryEntry | AttemptResult | None:
        status = await find_prompt(self._node, self._prompt_id)
        if status.state is PromptState.ENDED:
            return status.entry
        self._absent_polls = self._absent_polls + 1 if status.state is PromptState.ABSENT else 0
        if self._absent_polls >= MAX_ABSENT_POLLS:
            return NODE_LOST
        return (
            self._check_idle_node(status.state)
            or self._check_foreign_prompt(status.state)
            or self._check_unknown_state(status.state)
            or await self._check_worker_log(status)
            or self._check_progress()
            or self._check_run_time()
        )

    def _check_idle_node(self, state: PromptState) -> AttemptResult | None:
        """Detect a node whose worker thread has died: it answers and queues prompts, but runs nothing."""
        if state is not PromptState.PENDING_ON_IDLE_NODE:
            self._idle_since = None
            return None
        now = time.monotonic()
        self._idle_since = self._idle_since or now
        return WORKER_DEAD if now - self._idle_since > self._settings.dead_worker_s else None

    async def _check_worker_log(self, status: PromptStatus) -> AttemptResult | None:
        """Detect a worker thread that died during this prompt, which stays in the queue as running."""
        if (
            status.state is not PromptState.RUNNING
            or time.monotonic() - self._last_event_at <= self._settings.dead_worker_s
        ):
            return None
        return WORKER_DEAD if await self._death_detector.is_worker_dead(pending_count=status.pending_count) else None

    def _check_foreign_prompt(self, state: PromptState) -> AttemptResult | None:
        """Give up a prompt that waits too long behind foreign prompts: another node may run it sooner."""
        if state is not PromptState.PENDING:
            if self._behind_since is not None:
                self._behind_since = None
                self._on_begin()
            return None
        now = time.monotonic()
        self._behind_since = self._behind_since or now
        return NODE_BUSY if now - self._behind_since > self._settings.behind_others_s else None

    def _check_unknown_state(self, state: PromptState) -> AttemptResult | None:
        """Give up after the queue was unreadable for too long: the prompt may be missing from it."""
        if state is not PromptState.UNKNOWN:
            self._unknown_since = None
            return None
        now = time.monotonic()
        self._unknown_since = self._unknown_since or now
        return NODE_LOST if now - self._unknown_since > self._settings.stalled_s else None

    def _check_progress(self) -> AttemptResult | None:
        """Detect a node without events for too long. After a disconnect, missing events prove nothing."""
        return (
            NODE_STALLED
            if self._is_complete and time.monotonic() - self._last_event_at > self._settings.stalled_s
            else None
        )

    def _check_run_time(self) -> AttemptResult | None:
        """Check the run time limit. Time behind prompts of other clients does not count."""
        if self._behind_since is not None:
            return None
        limit_s = self._attempt.record.assignment.run_within_s
        return RUN_TIME_EXCEEDED if limit_s is not None and self._attempt.elapsed_s > limit_s else None

    def _check_unavailable_node(self, elapsed_s: float) -> AttemptResult | None:
        """Give up after the node was unavailable for too long. Time in which this process was suspended is capped."""
        self._unavailable_s += min(elapsed_s, self._settings.poll_s + 2 * self._settings.reply_s)
        return (NODE_LOST if self._unavailable_s > self._settings.unreachable_s else None) or self._check_run_time()
