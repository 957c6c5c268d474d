"""Builds trends from totals of jobs, durations, failures and nodes."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from contracts.scheduler.trends import (
    MAX_BUCKETS,
    MAX_HOURS,
    STEPS_S,
    FailureCount,
    NodeTrend,
    ReadTrends,
    TrendBucket,
    TrendCounts,
    Trends,
)
from scheduler.domain.durations import compute_percentile

DEFAULT_BUCKETS = 120  # maximum if the request names no step
HOUR_S = 3600
MINUTES_KEPT = timedelta(hours=47)  # totals by minute are kept for two days
MAX_FAILURES = 50
COUNT_FIELDS = ("submitted", "started", "completed", "failed", "cancelled", "images")
NODE_COUNTS = ("started", "succeeded", "failed", "faults")

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TrendWindow:
    """A window of time in buckets of ``step_s`` seconds. ``start`` is a multiple of the step.

    Attributes:
        has_only_hours: whether the window begins before the oldest totals by minute.
    """

    start: datetime
    end: datetime
    step_s: int
    has_only_hours: bool

    def find_bucket(self, at: datetime) -> datetime:
        """Return the beginning of the bucket of a time."""
        return _round_down(at, self.step_s)


def choose_window(query: ReadTrends, now: datetime) -> TrendWindow:
    """Return the window of a request. Its start is rounded down to a whole bucket, its end is not after ``now``."""
    end = min(query.end or now, now)
    start = query.start if query.start is not None else end - timedelta(hours=query.hours)
    start = min(max(start, end - timedelta(hours=MAX_HOURS)), end)
    has_only_hours = start < now - MINUTES_KEPT
    seconds = (end - start).total_seconds()
    min_step_s = max(query.step_s or seconds / DEFAULT_BUCKETS, seconds / MAX_BUCKETS, HOUR_S if has_only_hours else 0)
    step_s = next((step for step in STEPS_S if step >= min_step_s), STEPS_S[-1])
    return TrendWindow(_round_down(start, step_s), end, step_s, has_only_hours)


@dataclass(slots=True)
class _BucketTotals:
    counts: Counter[str] = field(default_factory=Counter)
    busy_s: float = 0.0
    online_s: float = 0.0
    durations: dict[str, Counter[int]] = field(default_factory=lambda: {"wait": Counter(), "run": Counter()})

    def add_jobs(self, row: Row) -> None:
        self.counts.update({name: row[name] for name in COUNT_FIELDS})
        self.busy_s += row["busy_s"]

    def to_counts(self) -> dict[str, Any]:
        waits, runs = self.durations["wait"], self.durations["run"]
        return {
            **{name: self.counts[name] for name in COUNT_FIELDS},
            "wait_p50_s": compute_percentile(waits, 0.5),
            "wait_p95_s": compute_percentile(waits, 0.95),
            "run_p50_s": compute_percentile(runs, 0.5),
            "run_p95_s": compute_percentile(runs, 0.95),
            "busy_share": _compute_share(self.busy_s, self.online_s),
        }


class TrendBuilder:
    """Adds up rows of the totals, stored or counted just now; rows outside the window are left out."""

    def __init__(self, window: TrendWindow) -> None:
        self._window = window
        self._buckets: dict[datetime, _BucketTotals] = {}
        at = window.start
        while at < window.end:
            self._buckets[at] = _BucketTotals()
            at += timedelta(seconds=window.step_s)
        self._overall = _BucketTotals()
        self._failures: Counter[str] = Counter()
        self._examples: dict[str, UUID] = {}
        self._nodes: dict[str, _BucketTotals] = {}

    def add_jobs(self, rows: Iterable[Row]) -> None:
        for row in rows:
            for totals in self._find_totals(row["at"]):
                totals.add_jobs(row)

    def add_online(self, rows: Iterable[Row]) -> None:
        """Add the time in which nodes were online."""
        for row in rows:
            for totals in self._find_totals(row["at"]):
                totals.online_s += row["online_s"]

    def add_durations(self, rows: Iterable[Row]) -> None:
        for row in rows:
            for totals in self._find_totals(row["at"]):
                totals.durations[row["kind"]][row["bin"]] += row["jobs"]

    def add_failures(self, rows: Iterable[Row]) -> None:
        """Add failures by code. Examples of a later call replace earlier ones."""
        for row in rows:
            self._failures[row["code"]] += row["jobs"]
            if row["job_id"] is not None:
                self._examples[row["code"]] = row["job_id"]

    def add_nodes(self, rows: Iterable[Row]) -> None:
        for row in rows:
            node = self._nodes.setdefault(row["node"], _BucketTotals())
            node.counts.update({name: row[name] for name in NODE_COUNTS if name in row})
            node.busy_s += row.get("busy_s", 0)
            node.online_s += row.get("online_s", 0)

    def build(self) -> Trends:
        window = self._window
        return Trends(
            start=window.start,
            end=window.end,
            step_s=window.step_s,
            totals=TrendCounts(**self._overall.to_counts()),
            buckets=tuple(TrendBucket(at=at, **totals.to_counts()) for at, totals in self._buckets.items()),
            failures=tuple(
                FailureCount(code=code, count=count, job_id=self._examples.get(code))
                for code, count in sorted(self._failures.items(), key=lambda found: (-found[1], found[0]))
            )[:MAX_FAILURES],
            nodes=tuple(
                NodeTrend(
                    node=name,
                    **{count: node.counts[count] for count in NODE_COUNTS},
                    busy_share=_compute_share(node.busy_s, node.online_s),
                )
                for name, node in sorted(self._nodes.items())
            ),
        )

    def _find_totals(self, at: datetime) -> tuple[_BucketTotals, ...]:
        bucket = self._buckets.get(self._window.find_bucket(at))
        return () if bucket is None else (bucket, self._overall)


def _round_down(at: datetime, step_s: int) -> datetime:
    return datetime.fromtimestamp(int(at.timestamp()) // step_s * step_s, UTC)


def _compute_share(busy_s: float, online_s: float) -> float | None:
    """Return the busy share of nodes; None if they were not seen online."""
    return round(min(busy_s / online_s, 1.0), 4) if online_s > 0 else None
