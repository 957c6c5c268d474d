"""Fencing: only the lease holder can change an attempt, and each change is applied once."""

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from contracts.scheduler.attempts import AttemptRef, Outcome
from contracts.scheduler.heartbeats import LeaseState
from contracts.scheduler.jobs import JobState
from tests.integration.scheduler.conftest import World, final_states
from tests.kit.waiting import until


async def test_job_runs_from_submit_to_success(world: World) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    submitted = await world.submit(tenant, images=2, labels={"a": "b"}, workflow="w", run_within_seconds=9)
    job = submitted.job
    assert (job.state, job.seq, job.attempt, job.queue_position, submitted.replayed) == ("queued", 1, 0, 1, False)
    given = await node.claim_attempt()
    assert (given.ref.job_id, given.ref.tenant_id, given.ref.attempt) == (job.job_id, tenant, 1)
    assert (given.run_within_s, given.graph["1"]["inputs"]) == (9, {"ckpt_name": "common.safetensors"})
    assert await node.start(given.ref)
    assert (await node.send_heartbeat(given.ref, progress=40)).lease is LeaseState.KEPT
    assert (await world.read_job(tenant, job.job_id)).progress == 40
    assert await node.finish(given.ref, images=2, gpu_seconds=3)
    ended = await world.read_job(tenant, job.job_id)
    assert (ended.state, ended.images, ended.progress, ended.attempt) == (JobState.SUCCEEDED, 2, 100, 1)
    assert await world.list_causes(tenant, job.job_id) == ["submitted", "claimed", "started", "succeeded"]
    assert await world.count_charged_images(tenant) == 2


@pytest.mark.parametrize("what", ["token", "attempt", "tenant", "job"])
async def test_writes_with_a_wrong_attempt_reference_change_nothing(world: World, what: str) -> None:
    tenant, other, node = world.add_tenant(), world.add_tenant(), await world.add_node()
    await world.submit_job(other)
    second = await node.claim_attempt()
    assert await node.finish(second.ref)
    await world.submit_job(tenant)
    given = await node.claim_attempt()
    wrong: dict[str, dict[str, Any]] = {
        "token": {"lease_token": uuid4()},
        "attempt": {"attempt": 2},
        "tenant": {"tenant_id": other},
        "job": {"job_id": second.ref.job_id},
    }
    ref = given.ref.model_copy(update=wrong[what])
    before = await world.database_rows(tenant), await world.database_rows(other)
    assert not await node.start(ref)
    for outcome in Outcome:
        assert not await node.finish(ref, outcome)
    if what != "tenant":  # the tenant in a heartbeat is ignored
        assert (await node.send_heartbeat(ref, progress=90)).lease is LeaseState.LOST
    assert (await world.database_rows(tenant), await world.database_rows(other)) == before
    assert await node.finish(given.ref)


async def test_heartbeat_of_another_node_does_not_renew_a_lease(world: World) -> None:
    tenant, node, other = world.add_tenant(), await world.add_node(), await world.add_node()
    await world.submit_job(tenant)
    given = await node.claim_attempt()
    before = await world.database_rows(tenant)
    assert (await other.send_heartbeat(given.ref, progress=90)).lease is LeaseState.LOST
    assert await world.database_rows(tenant) == before
    assert await node.finish(given.ref)


async def test_another_node_cannot_start_or_finish_an_attempt(world: World) -> None:
    tenant, node, other = world.add_tenant(), await world.add_node(), await world.add_node()
    world.may_leave_live_attempts = True
    await world.submit_job(tenant)
    given = await node.claim_attempt()
    before = await world.database_rows(tenant)
    started, finished = await other.start(given.ref), await other.finish(given.ref)
    assert not started
    assert not finished
    assert await world.database_rows(tenant) == before


@pytest.mark.requirement("F-31", "F-76")
async def test_writes_of_an_earlier_attempt_change_nothing(world: World) -> None:
    tenant, node, other = world.add_tenant(), await world.add_node(), await world.add_node()
    await world.submit_job(tenant)
    first = await node.claim_attempt()
    assert await node.finish(first.ref, Outcome.NODE_FAULT)
    second = await other.claim_attempt()
    assert second.ref.attempt == 2
    before = await world.database_rows(tenant)
    for ref in (first.ref, first.ref.model_copy(update={"attempt": 2}), second.ref.model_copy(update={"attempt": 1})):
        assert not await node.start(ref)
        assert not await node.finish(ref)
        assert (await node.send_heartbeat(ref)).lease is LeaseState.LOST
    assert await world.database_rows(tenant) == before
    assert await other.finish(second.ref)


@pytest.mark.requirement("F-76")
async def test_writes_after_the_end_of_an_attempt_change_nothing(world: World) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    job_id = await world.submit_job(tenant)
    given = await node.claim_attempt()
    assert await node.finish(given.ref)
    before = await world.database_rows(tenant)
    assert not await node.start(given.ref)
    for outcome in Outcome:
        assert not await node.finish(given.ref, outcome)
    assert (await node.send_heartbeat(given.ref)).lease is LeaseState.LOST
    assert await world.database_rows(tenant) == before
    assert final_states(await world.list_events(tenant, job_id)) == [JobState.SUCCEEDED]


@pytest.mark.requirement("F-75")
async def test_concurrent_duplicates_of_a_finish_are_applied_once(world: World) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    for _ in range(5):
        job_id = await world.submit_job(tenant, images=3)
        given = await node.claim_attempt()
        assert await node.start(given.ref)
        applied = await asyncio.gather(*(node.finish(given.ref, images=3) for _ in range(8)))
        assert sorted(applied) == [False] * 7 + [True]
        assert await world.list_causes(tenant, job_id) == ["submitted", "claimed", "started", "succeeded"]
    assert await world.count_charged_images(tenant) == 15


async def test_duplicate_start_is_accepted_and_recorded_once(world: World) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    job_id = await world.submit_job(tenant)
    given = await node.claim_attempt()
    assert await asyncio.gather(*(node.start(given.ref) for _ in range(5))) == [True] * 5
    assert await node.finish(given.ref)
    assert await world.list_causes(tenant, job_id) == ["submitted", "claimed", "started", "succeeded"]


@pytest.mark.requirement("F-34")
async def test_repeated_request_for_work_returns_the_same_attempt(world: World) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    for _ in range(2):
        await world.submit_job(tenant)
    given = await node.claim_attempt()
    assert await node.request_work() == given.model_copy(update={"renewed": True})
    assert await node.start(given.ref)
    assert await node.request_work() == given.model_copy(update={"renewed": True})
    assert await node.finish(given.ref)
    other = await node.claim_attempt()
    assert other.ref.job_id != given.ref.job_id
    assert other.prompt_id != given.prompt_id
    assert await node.finish(other.ref)


@pytest.mark.requirement("F-38")
async def test_concurrent_requests_of_one_node_get_one_attempt(world: World) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    for _ in range(6):
        await world.submit_job(tenant)
    for _ in range(6):
        given = await asyncio.gather(*(node.claim_attempt() for _ in range(6)))
        first = given[0]
        assert {one.ref for one in given} == {first.ref}
        assert await world.count_live_attempts() == 1
        assert await node.finish(first.ref)
    assert await node.request_work() is None


async def test_waiting_request_for_work_is_answered_when_a_job_is_submitted(world: World) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    asked = asyncio.create_task(node.claim_attempt())
    job_id = await world.submit_job(tenant)
    given = await asked
    assert given.ref.job_id == job_id
    assert await node.finish(given.ref)


async def test_unknown_node_gets_no_job(world: World) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    await world.submit_job(tenant)
    stranger = type(node)(world.system, f"n-{uuid4().hex[:12]}", node.models)
    assert await stranger.request_work() is None
    given = await node.claim_attempt()
    assert await node.finish(given.ref)


async def test_concurrent_heartbeat_and_finish_do_not_deadlock(world: World, second_sql: asyncpg.Connection) -> None:
    """Lock order: tenant, job, attempt. The test holds the job's lock, so that both requests wait for it."""
    tenant, node = world.add_tenant(), await world.add_node()
    world.may_leave_live_attempts = True
    job_id = await world.submit_job(tenant)
    given = await node.claim_attempt()

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
    beating = asyncio.create_task(node.send_heartbeat(given.ref, progress=50))
    await until(lambda: beating.done() or waiting(2))
    await held.rollback()
    finished, beaten = await asyncio.gather(finishing, beating, return_exceptions=True)
    assert finished is True
    assert not isinstance(beaten, BaseException)
    assert (await world.read_job(tenant, job_id)).state is JobState.SUCCEEDED


async def test_each_attempt_has_its_own_lease_token(world: World) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    refs: list[AttemptRef] = []
    for _ in range(5):
        await world.submit_job(tenant)
        refs.append((await node.claim_attempt()).ref)
        assert await node.finish(refs[-1])
    assert len({ref.lease_token for ref in refs}) == 5
