"""Only the lease's holder changes anything, and that once."""

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from contracts.scheduler.attempts import AttemptRef, Outcome
from contracts.scheduler.heartbeats import LeaseState
from contracts.scheduler.jobs import JobState
from tests.integration.scheduler.conftest import World, final
from tests.kit.waiting import until


async def test_a_job_runs(world: World) -> None:
    tenant, node = world.tenant(), await world.node()
    submitted = await world.submit(tenant, images=2, labels={"a": "b"}, workflow="w", run_within_seconds=9)
    job = submitted.job
    assert (job.state, job.seq, job.attempt, job.queue_position, submitted.replayed) == ("queued", 1, 0, 1, False)
    given = await node.claim()
    assert (given.ref.job_id, given.ref.tenant_id, given.ref.attempt) == (job.job_id, tenant, 1)
    assert (given.run_within_s, given.graph["1"]["inputs"]) == (9, {"ckpt_name": "common.safetensors"})
    assert await node.start(given.ref)
    assert (await node.beat(given.ref, progress=40)).lease is LeaseState.KEPT
    assert (await world.read(tenant, job.job_id)).progress == 40
    assert await node.finish(given.ref, images=2, gpu_seconds=3)
    ended = await world.read(tenant, job.job_id)
    assert (ended.state, ended.images, ended.progress, ended.attempt) == (JobState.SUCCEEDED, 2, 100, 1)
    assert await world.causes(tenant, job.job_id) == ["submitted", "claimed", "started", "succeeded"]
    assert await world.images(tenant) == 2


@pytest.mark.parametrize("what", ["token", "attempt", "tenant", "job"])
async def test_another_ref_changes_nothing(world: World, what: str) -> None:
    tenant, other, node = world.tenant(), world.tenant(), await world.node()
    await world.job(other)
    second = await node.claim()
    assert await node.finish(second.ref)
    await world.job(tenant)
    given = await node.claim()
    wrong: dict[str, dict[str, Any]] = {
        "token": {"lease_token": uuid4()},
        "attempt": {"attempt": 2},
        "tenant": {"tenant_id": other},
        "job": {"job_id": second.ref.job_id},
    }
    ref = given.ref.model_copy(update=wrong[what])
    before = await world.everything(tenant), await world.everything(other)
    assert not await node.start(ref)
    for outcome in Outcome:
        assert not await node.finish(ref, outcome)
    if what != "tenant":  # a heartbeat's tenant decides nothing
        assert (await node.beat(ref, progress=90)).lease is LeaseState.LOST
    assert (await world.everything(tenant), await world.everything(other)) == before
    assert await node.finish(given.ref)


async def test_another_nodes_login_cannot_renew(world: World) -> None:
    tenant, node, other = world.tenant(), await world.node(), await world.node()
    await world.job(tenant)
    given = await node.claim()
    before = await world.everything(tenant)
    assert (await other.beat(given.ref, progress=90)).lease is LeaseState.LOST
    assert await world.everything(tenant) == before
    assert await node.finish(given.ref)


async def test_another_nodes_login_cannot_start_or_finish(world: World) -> None:
    tenant, node, other = world.tenant(), await world.node(), await world.node()
    world.may_leave_live = True
    await world.job(tenant)
    given = await node.claim()
    before = await world.everything(tenant)
    started, finished = await other.start(given.ref), await other.finish(given.ref)
    assert not started
    assert not finished
    assert await world.everything(tenant) == before


@pytest.mark.requirement("F-31", "F-76")
async def test_an_old_attempt_changes_nothing(world: World) -> None:
    tenant, node, other = world.tenant(), await world.node(), await world.node()
    await world.job(tenant)
    first = await node.claim()
    assert await node.finish(first.ref, Outcome.NODE_FAULT)
    second = await other.claim()
    assert second.ref.attempt == 2
    before = await world.everything(tenant)
    for ref in (first.ref, first.ref.model_copy(update={"attempt": 2}), second.ref.model_copy(update={"attempt": 1})):
        assert not await node.start(ref)
        assert not await node.finish(ref)
        assert (await node.beat(ref)).lease is LeaseState.LOST
    assert await world.everything(tenant) == before
    assert await other.finish(second.ref)


@pytest.mark.requirement("F-76")
async def test_after_the_end_nothing_counts(world: World) -> None:
    tenant, node = world.tenant(), await world.node()
    job_id = await world.job(tenant)
    given = await node.claim()
    assert await node.finish(given.ref)
    before = await world.everything(tenant)
    assert not await node.start(given.ref)
    for outcome in Outcome:
        assert not await node.finish(given.ref, outcome)
    assert (await node.beat(given.ref)).lease is LeaseState.LOST
    assert await world.everything(tenant) == before
    assert final(await world.log(tenant, job_id)) == [JobState.SUCCEEDED]


@pytest.mark.requirement("F-75")
async def test_the_same_finish_many_times_at_once_counts_once(world: World) -> None:
    tenant, node = world.tenant(), await world.node()
    for _ in range(5):
        job_id = await world.job(tenant, images=3)
        given = await node.claim()
        assert await node.start(given.ref)
        applied = await asyncio.gather(*(node.finish(given.ref, images=3) for _ in range(8)))
        assert sorted(applied) == [False] * 7 + [True]
        assert await world.causes(tenant, job_id) == ["submitted", "claimed", "started", "succeeded"]
    assert await world.images(tenant) == 15


async def test_starting_twice_is_starting(world: World) -> None:
    tenant, node = world.tenant(), await world.node()
    job_id = await world.job(tenant)
    given = await node.claim()
    assert await asyncio.gather(*(node.start(given.ref) for _ in range(5))) == [True] * 5
    assert await node.finish(given.ref)
    assert await world.causes(tenant, job_id) == ["submitted", "claimed", "started", "succeeded"]


@pytest.mark.requirement("F-34")
async def test_a_lost_answer_to_ask_is_given_again(world: World) -> None:
    tenant, node = world.tenant(), await world.node()
    for _ in range(2):
        await world.job(tenant)
    given = await node.claim()
    assert await node.ask() == given
    assert await node.start(given.ref)
    assert await node.ask() == given
    assert await node.finish(given.ref)
    other = await node.claim()
    assert other.ref.job_id != given.ref.job_id
    assert other.prompt_id != given.prompt_id
    assert await node.finish(other.ref)


@pytest.mark.requirement("F-38")
async def test_asks_of_one_node_in_parallel_give_one_attempt(world: World) -> None:
    tenant, node = world.tenant(), await world.node()
    for _ in range(6):
        await world.job(tenant)
    for _ in range(6):
        given = await asyncio.gather(*(node.ask(wait_s=2) for _ in range(6)))
        first = given[0]
        assert first is not None
        assert given == [first] * 6
        assert await world.live() == 1
        assert await node.finish(first.ref)
    assert await node.ask() is None


async def test_a_kept_question_is_answered_when_a_job_comes(world: World) -> None:
    tenant, node = world.tenant(), await world.node()
    asked = asyncio.create_task(node.ask(wait_s=5))
    job_id = await world.job(tenant)
    given = await asked
    assert given is not None
    assert given.ref.job_id == job_id
    assert await node.finish(given.ref)


async def test_a_node_that_nobody_knows_is_given_nothing(world: World) -> None:
    tenant, node = world.tenant(), await world.node()
    await world.job(tenant)
    stranger = type(node)(world.system, f"n-{uuid4().hex[:12]}", node.models)
    assert await stranger.ask() is None
    given = await node.claim()
    assert await node.finish(given.ref)


async def test_a_heartbeat_and_a_finish_at_once_do_not_deadlock(world: World, second_sql: asyncpg.Connection) -> None:
    """Law 3: tenant, then job, then attempt. A third party holds the job, so that both have to queue for it."""
    tenant, node = world.tenant(), await world.node()
    world.may_leave_live = True
    job_id = await world.job(tenant)
    given = await node.claim()

    async def waiting(number: int) -> bool:
        sql = """SELECT count(*) FROM pg_stat_activity
            WHERE application_name = 'scheduler' AND datname = current_database() AND wait_event_type = 'Lock'"""
        found: int = await world.system.sql.fetchval(sql)
        return found == number

    held = second_sql.transaction()
    await held.start()
    await second_sql.execute("SELECT 1 FROM jobs WHERE id = $1 FOR UPDATE", job_id)
    finishing = asyncio.create_task(node.finish(given.ref))
    await until(lambda: waiting(1))
    beating = asyncio.create_task(node.beat(given.ref, progress=50))
    await until(lambda: beating.done() or waiting(2))
    await held.rollback()
    finished, beaten = await asyncio.gather(finishing, beating, return_exceptions=True)
    assert finished is True
    assert not isinstance(beaten, BaseException)
    assert (await world.read(tenant, job_id)).state is JobState.SUCCEEDED


async def test_a_token_is_of_one_attempt(world: World) -> None:
    tenant, node = world.tenant(), await world.node()
    refs: list[AttemptRef] = []
    for _ in range(5):
        await world.job(tenant)
        refs.append((await node.claim()).ref)
        assert await node.finish(refs[-1])
    assert len({ref.lease_token for ref in refs}) == 5
