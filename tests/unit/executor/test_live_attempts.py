"""The node has one attempt at a time; a stopped attempt never reaches it."""

import asyncio
import time
from uuid import uuid4

from contracts.graph_policy.policy import GraphPolicy, TenantPolicy
from contracts.scheduler.attempts import Assignment, AttemptRef
from executor.domain.attempt import AttemptRecord, Phase, StopReason
from executor.usecases.live_attempts import AttemptPlace, LiveAttempt, LiveAttempts


def add_attempt(attempts: LiveAttempts, *, begun_at: float = 0.0) -> LiveAttempt:
    assignment = Assignment(
        ref=AttemptRef(job_id=uuid4(), tenant_id=uuid4(), attempt=1, lease_token=uuid4()),
        prompt_id=uuid4(),
        graph={},
        lease_s=15,
        run_within_s=None,
        images=1,
        policy=TenantPolicy(mode=GraphPolicy.OPEN),
    )
    return attempts.add(AttemptRecord(assignment=assignment, phase=Phase.ASSIGNED, client_id="", begun_at=begun_at))


async def test_attempt_that_is_stopped_just_when_the_node_becomes_free_does_not_get_the_node() -> None:
    attempts = LiveAttempts()
    running, stopped, following = [add_attempt(attempts) for _ in range(3)]
    await running.acquire_node()
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(attempt.acquire_node()) for attempt in (stopped, following)]
        await asyncio.wait(waiting, timeout=0)
        running.release_node()
        stopped.request_stop(StopReason.CANCELLED)
        await asyncio.wait(waiting, timeout=0)
        assert (stopped.place, waiting[0].done()) == (AttemptPlace.WAITING, False)
        waiting[0].cancel()
        stopped.release_node()
    assert (stopped.place, following.place) == (AttemptPlace.LEFT_NODE, AttemptPlace.ON_NODE)


def test_run_time_before_a_restart_is_measured_with_the_wall_clock_and_the_rest_is_not() -> None:
    wall_s = 1_000.0
    attempts = LiveAttempts(lambda: wall_s)
    continued, of_the_future = add_attempt(attempts, begun_at=940.0), add_attempt(attempts, begun_at=4_600.0)
    began = time.monotonic()
    wall_s += 3_600
    assert 60 <= continued.elapsed_s < 61 + time.monotonic() - began
    assert 0 <= of_the_future.elapsed_s < 1 + time.monotonic() - began
    continued.begin_run_time()
    assert continued.record.begun_at == wall_s
    assert continued.elapsed_s <= time.monotonic() - began
