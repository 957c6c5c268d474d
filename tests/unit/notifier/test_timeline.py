import asyncio
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.executor.progress import Progress
from contracts.scheduler.jobs import Job, JobEvent, JobState, Timings
from contracts.scheduler.outputs import Output, OutputKind
from contracts.scheduler.waiting import Waiting, WaitingDetail, WaitReason
from notifier.domain import frames
from notifier.domain.backlog import MAX_STATES, Backlog
from notifier.domain.timeline import ProgressFilter, Timeline
from notifier.usecases.viewer import JobDeleted, Viewer, ViewerTooSlow

ID = UUID(int=1)
AT = datetime(2026, 11, 23, tzinfo=UTC)
OUTPUT = Output(
    id=ID, node_id="9", name="a", kind=OutputKind.IMAGE, content_type="image/png", size_bytes=1, sha256="0" * 64
)


def event(seq: int, state: JobState = JobState.RUNNING, attempt: int = 1, **more: Any) -> JobEvent:
    return JobEvent(job_id=ID, tenant_id=ID, seq=seq, state=state, cause="c", attempt=attempt, at=AT, **more)


def job(seq: int, state: JobState = JobState.RUNNING, attempt: int = 1, **more: Any) -> Job:
    return Job(
        job_id=ID, tenant_id=ID, state=state, workflow="custom", priority=0, labels={}, attempt=attempt, progress=0,
        queue_position=None, eta_seconds=None, images=1, seq=seq, created_at=AT, started_at=None, completed_at=None,
        timings=Timings(), error=None, **({"outputs": ()} | more),
    )  # fmt: skip


def progress(percent: float, attempt: int = 1) -> Progress:
    return Progress(job_id=ID, attempt=attempt, progress=percent, at=AT)


def never_sends(_: str) -> bool:
    return False


def add_event(viewer: Viewer, sent: JobEvent) -> None:
    viewer.add_event(sent, frames.encode_event(sent))


def add_progress(viewer: Viewer, sent: Progress) -> None:
    viewer.add_progress(sent, frames.encode_progress(sent))


def add_waiting(viewer: Viewer, read: Job) -> None:
    assert read.waiting is not None
    viewer.add_waiting(read, read.waiting, frames.encode_waiting(read, at=AT))


async def next_frames(viewer: Viewer, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(5):
        return [json.loads(await viewer.wait_for_next_frame() or "null") for _ in range(count)]


@given(st.integers(0, 5), st.lists(st.integers(1, 12), max_size=60), st.integers(0, 60))
def test_events_are_emitted_once_in_order_and_never_past_a_gap(start: int, seqs: list[int], begin_at: int) -> None:
    timeline = Timeline()
    out: list[int] = []
    for turn, seq in enumerate(seqs):
        if turn == begin_at:
            timeline.start(start)
        out += [found.seq for found in timeline.add(event(seq))]
    timeline.start(start)
    out += [found.seq for found in timeline.add()]
    expected: list[int] = []
    while start + len(expected) + 1 in seqs:
        expected.append(start + len(expected) + 1)
    assert out == expected
    assert timeline.has_gap == any(seq > start + len(expected) for seq in seqs)


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 100)), max_size=30))
def test_progress_never_decreases(sent: list[tuple[int, float]]) -> None:
    progress_filter = ProgressFilter()
    passed = [step for step in sent if progress_filter.try_advance(*step)]
    assert passed == sorted(passed)


@pytest.mark.requirement("F-116")
def test_full_backlog_drops_old_progress_and_no_state() -> None:
    backlog = Backlog()
    for percent in range(3):
        backlog.add_progress(f"p{percent}")
    backlog.add_states(("s1", "s2"))
    backlog.add_progress("p3")
    backlog.add_progress("p4")
    assert [backlog.pop() for _ in range(len(backlog))] == ["p2", "s1", "s2", "p4"]


async def test_events_before_the_snapshot_are_emitted_once_after_it() -> None:
    viewer = Viewer(never_sends)
    for seq in (2, 3, 4):
        add_event(viewer, event(seq))
    viewer.start(job(3), 10, [], after=None)
    found = await next_frames(viewer, 2)
    assert [(frame["type"], frame["seq"]) for frame in found] == [("snapshot", 3), ("status", 4)]


async def test_progress_of_another_attempt_or_after_the_end_is_dropped() -> None:
    viewer = Viewer(never_sends)
    add_progress(viewer, progress(1))
    viewer.start(job(3), 40, [], after=None)
    for sent in (progress(30), progress(50, attempt=2), progress(60)):
        add_progress(viewer, sent)
    add_event(viewer, event(4, JobState.SUCCEEDED, outputs=(OUTPUT,)))
    add_progress(viewer, progress(99))
    add_event(viewer, event(5))
    found = await next_frames(viewer, 5)
    assert [frame["type"] for frame in found] == ["snapshot", "progress", "output", "status", "end"]
    assert found[1]["progress"] == 60
    assert await viewer.wait_for_next_frame() is None


async def test_progress_is_sent_at_once_unless_an_earlier_frame_waits() -> None:
    sent: list[float] = []
    reads = True

    def try_send(frame: str) -> bool:
        if reads:
            sent.append(json.loads(frame)["progress"])
        return reads

    viewer = Viewer(try_send)
    viewer.start(job(3), 10, [], after=None)
    add_progress(viewer, progress(20))
    found = await next_frames(viewer, 2)
    assert [frame["progress"] for frame in found] == [10, 20]
    add_progress(viewer, progress(30))
    assert sent == [30]
    reads = False
    add_progress(viewer, progress(40))
    add_progress(viewer, progress(50))
    reads = True
    add_progress(viewer, progress(60))
    assert sent == [30]
    assert (await next_frames(viewer, 1))[0]["progress"] == 60


async def test_new_client_of_an_ended_job_receives_all_events() -> None:
    viewer = Viewer(never_sends)
    viewer.start(job(4, JobState.SUCCEEDED, outputs=(OUTPUT,)), 100, [], after=None)
    assert [frame["type"] for frame in await next_frames(viewer, 4)] == ["snapshot", "output", "status", "end"]
    assert await viewer.wait_for_next_frame() is None


async def test_client_that_saw_the_end_receives_only_the_end() -> None:
    viewer = Viewer(never_sends)
    viewer.start(job(4, JobState.CANCELLED), 0, [], after=4)
    assert [frame["type"] for frame in await next_frames(viewer, 2)] == ["snapshot", "end"]


async def test_viewer_ends_for_a_deleted_job_or_an_overflowing_backlog() -> None:
    viewer = Viewer(never_sends)
    viewer.start(job(1), 0, [], after=None)
    await viewer.wait_for_next_frame()
    viewer.mark_deleted()
    with pytest.raises(JobDeleted):
        await viewer.wait_for_next_frame()
    for seq in range(2, MAX_STATES + 4):
        add_event(viewer, event(seq))
    with pytest.raises(ViewerTooSlow):
        await viewer.wait_for_next_frame()


def test_frames_use_public_status_names() -> None:
    (sent,) = frames.encode_event(event(3, JobState.LEASED))
    assert json.loads(sent) == {
        "type": "status", "job_id": str(ID), "seq": 3, "status": "processing", "at": AT.isoformat(), "attempt": 1,
    }  # fmt: skip
    expired = json.loads(frames.encode_event(event(9, JobState.EXPIRED))[0])
    assert expired["status"] == "failed"


async def test_viewer_receives_a_new_waiting_reason_once() -> None:
    queue = Waiting(reason=WaitReason.QUEUE, since=AT, message="m", detail=WaitingDetail(jobs_ahead=1))
    first = queue.model_copy(update={"detail": WaitingDetail(jobs_ahead=0)})
    viewer = Viewer(never_sends)
    viewer.start(job(1, JobState.QUEUED, 0, waiting=queue), 0, [], after=None)
    add_waiting(viewer, job(1, JobState.QUEUED, 0, waiting=queue.model_copy(update={"since": datetime.now(UTC)})))
    add_waiting(viewer, job(1, JobState.QUEUED, 0, waiting=first))
    add_event(viewer, event(2, JobState.LEASED))
    add_waiting(viewer, job(1, JobState.QUEUED, 0, waiting=queue))  # read before the event arrived
    add_event(viewer, event(3, JobState.QUEUED))
    add_waiting(viewer, job(3, JobState.QUEUED, waiting=first))
    frames_ = await next_frames(viewer, 5)
    assert [found["type"] for found in frames_] == ["snapshot", "waiting", "status", "status", "waiting"]
    assert frames_[0]["waiting"]["detail"] == {"jobs_ahead": 1}
    assert frames_[1]["waiting"]["detail"] == {"jobs_ahead": 0}
    assert "seq" not in frames_[1]
