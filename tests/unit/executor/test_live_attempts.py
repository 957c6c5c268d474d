"""The node has one attempt at a time; a stopped attempt never reaches it."""

import asyncio
from uuid import uuid4

from contracts.graph_policy.policy import GraphPolicy, TenantPolicy
from contracts.scheduler.attempts import Assignment, AttemptRef
from executor.domain.attempt import AttemptRecord, Phase, StopReason
from executor.usecases.live_attempts import AttemptPlace, LiveAttempt, LiveAttempts


def add_attempt(attempts: LiveAttempts) -> LiveAttempt:
    assignment = Assignment(
        ref=AttemptRef(job_id=uuid4(), tenant_id=uuid4(), attempt=1, lease_token=uuid4()),
        prompt_id=uuid4(),
        graph={},
        lease_s=15,
        run_within_s=None,
        images=1,
        policy=TenantPolicy(mode=GraphPolicy.OPEN),
    )
    return attempts.add(AttemptRecord(assignment=assignment, phase=Phase.ASSIGNED, client_id="", begun_at=0.0))


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
