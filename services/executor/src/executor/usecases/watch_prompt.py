"""Watches a prompt until it ends. Events are hints; the history is the truth."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from chassis.telemetry.logs import log
from executor.clients.comfyui import ComfyUI
from executor.clients.comfyui_answers import HistoryEntry, NodeAway, UnusableAnswer
from executor.domain.attempt import Record
from executor.domain.progress import ProgressFold
from executor.domain.verdict import (
    ANSWER_TOO_LARGE,
    ANSWER_UNREADABLE,
    LOST,
    NODE_BUSY,
    OVERTIME,
    AttemptResult,
    node_death,
)
from executor.settings import Settings
from executor.usecases.find_prompt import Place, Sighting, find_prompt
from executor.usecases.worker_death import WorkerDeath

RACE_S = 2.0  # seconds; the end event precedes the history entry by milliseconds on an idle machine
RACE_PAUSE_S = 0.005
ABSENT = 2  # polls without finding the prompt anywhere
UNREADABLE = 2  # readings before an entry counts as unreadable: a proxy may have truncated it

DEAD = node_death("node.fault", "The node takes jobs but does not run them.")
STALLED = node_death("node.fault", "The node stopped making progress.")


class WatchPrompt:
    """Watches one prompt.

    Args:
        changed: set whenever the progress changed.
        death: detects a dead worker in the node's log.
        made: called with the outputs of a graph node as its history entry will name them: ``{node id: outputs}``.
    """

    def __init__(
        self,
        node: ComfyUI,
        record: Record,
        fold: ProgressFold,
        changed: asyncio.Event,
        limits: Settings,
        *,
        death: WorkerDeath,
        made: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._node, self._record, self._fold, self._changed, self._limits = node, record, fold, changed, limits
        self._made, self._death = made, death
        self._look, self._hinted, self._whole = asyncio.Event(), False, True
        self._moved_at = time.monotonic()
        self._absent, self._away_s, self._unreadable = 0, 0.0, 0
        self._unserved_since: float | None = None
        self._unseen_since: float | None = None
        self._behind_since: float | None = None

    @property
    def is_away(self) -> bool:
        """Whether the node did not answer the last request."""
        return self._away_s > 0

    def on_event(self, kind: str, data: Mapping[str, Any]) -> None:
        """Process an event of the node. Events of other prompts are ignored."""
        # The greeting after a reconnect names a node without a prompt; only this prompt's client receives it.
        if data.get("prompt_id", self._record.prompt_id if kind == "executing" else None) != self._record.prompt_id:
            return
        self._moved_at = time.monotonic()
        if kind == "executed" and isinstance(data.get("output"), Mapping):
            self._made({str(data.get("node")): data["output"]})
        # The last event of a prompt, sent after the history entry exists, unlike success and error events.
        if kind == "executing" and data.get("node") is None and "node" in data:
            self._hinted = True
            self._look.set()
        elif self._fold.take(kind, data):
            self._changed.set()

    def on_drop(self) -> None:
        """Record that events were lost, and poll at once."""
        self._whole = False
        self._look.set()

    async def __call__(self) -> HistoryEntry | AttemptResult:
        """Wait for the end.

        Returns:
            The history entry, or how the attempt ended without one.
        """
        self._moved_at = looked_at = time.monotonic()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._limits.poll_s):
                    await self._look.wait()
            self._look.clear()
            try:
                ending = await self._ending()
            except UnusableAnswer as unusable:
                log.warning("executor.history.unusable", prompt_id=self._record.prompt_id, why=str(unusable))
                ending = self._unusable(unusable)
            except NodeAway as away:
                log.info("executor.node.silent", why=str(away))
                self._unreadable = 0
                ending = self._unreachable(time.monotonic() - looked_at)
            else:
                self._away_s, self._unreadable = 0.0, 0
            if ending is not None:
                return ending
            looked_at = time.monotonic()

    async def _ending(self) -> HistoryEntry | AttemptResult | None:
        """Return how it ended, None while it runs."""
        if self._hinted:
            self._hinted = False
            if entry := await self._told_end():
                return entry
        return await self._poll()

    async def _told_end(self) -> HistoryEntry | None:
        """Return the history entry after the end event; None if it does not appear, which polling then handles."""
        deadline, pause = time.monotonic() + RACE_S, RACE_PAUSE_S
        try:
            while time.monotonic() < deadline:
                if entry := await self._node.history(self._record.prompt_id):
                    return entry
                await asyncio.sleep(pause)
                pause = min(2 * pause, 0.2)
        except UnusableAnswer:
            raise
        except NodeAway as away:
            if away.heard:  # the prompt ended, but its entry takes too long to return
                self._hinted = True
                raise UnusableAnswer(str(away)) from away
            log.info("executor.node.silent", why=str(away))
        return None

    def _unusable(self, answer: UnusableAnswer) -> AttemptResult | None:
        """Return the workflow's failure: it made the node record an unreadable entry."""
        if answer.too_large:
            return ANSWER_TOO_LARGE
        self._unreadable += 1
        self._look.set()
        return ANSWER_UNREADABLE if self._unreadable >= UNREADABLE else None

    async def _poll(self) -> HistoryEntry | AttemptResult | None:
        seen = await find_prompt(self._node, self._record.prompt_id)
        if seen.place is Place.ENDED:
            return seen.entry
        self._absent = self._absent + 1 if seen.place is Place.NOWHERE else 0
        if self._absent >= ABSENT:
            return LOST
        return (
            self._dead(seen.place)
            or self._behind(seen.place)
            or self._hidden(seen.place)
            or await self._died(seen)
            or self._stalled()
            or self._overtime()
        )

    def _dead(self, place: Place) -> AttemptResult | None:
        """A node with a dead worker thread answers and queues, but runs nothing."""
        if place is not Place.NEXT:
            self._unserved_since = None
            return None
        now = time.monotonic()
        self._unserved_since = self._unserved_since or now
        return DEAD if now - self._unserved_since > self._limits.dead_worker_s else None

    async def _died(self, seen: Sighting) -> AttemptResult | None:
        """A worker thread that died during this prompt leaves it "running" forever; the node's log shows the death."""
        if seen.place is not Place.RUNNING or time.monotonic() - self._moved_at <= self._limits.dead_worker_s:
            return None
        return DEAD if await self._death.is_told(waiting=seen.waiting) else None

    def _behind(self, place: Place) -> AttemptResult | None:
        """A foreign prompt is ahead of this one, which has not started. Another node may run it sooner."""
        if place is not Place.WAITING:
            self._behind_since = None
            return None
        now = time.monotonic()
        self._behind_since = self._behind_since or now
        return NODE_BUSY if now - self._behind_since > self._limits.behind_others_s else None

    def _hidden(self, place: Place) -> AttemptResult | None:
        """The prompt may be missing from a queue that cannot be read."""
        if place is not Place.UNSEEN:
            self._unseen_since = None
            return None
        now = time.monotonic()
        self._unseen_since = self._unseen_since or now
        return LOST if now - self._unseen_since > self._limits.stalled_s else None

    def _stalled(self) -> AttemptResult | None:
        """Silence is significant only while every event would have been received."""
        return STALLED if self._whole and time.monotonic() - self._moved_at > self._limits.stalled_s else None

    def _overtime(self) -> AttemptResult | None:
        bound = self._record.assignment.run_within_s
        return OVERTIME if bound is not None and time.time() - self._record.begun_at > bound else None

    def _unreachable(self, passed_s: float) -> AttemptResult | None:
        """Count an absence only while this process was awake."""
        self._away_s += min(passed_s, self._limits.poll_s + 2 * self._limits.reply_s)
        return (LOST if self._away_s > self._limits.unreachable_s else None) or self._overtime()
