"""Ended jobs are deleted on request and after their retention, and tenants are erased. Recorded usage is kept."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from contracts.auth.accounts import Role
from contracts.auth.changes import USER_CHANGED, UserChanged
from contracts.auth.tiers import Tier
from contracts.registry import JOB_PURGES
from contracts.scheduler.attempts import FINISH_ATTEMPT, Outcome
from contracts.scheduler.jobs import JobError, JobState
from contracts.scheduler.purges import FIND_JOBS, JOB_PURGED, PURGE_JOB, FindJobs, JobPurged, PurgeJob
from contracts.scheduler.statistics import Stats, Throughput
from contracts.wire.errors import ErrorKind, RelayedRefusal
from scheduler.store import nodes
from tests.integration.scheduler.conftest import System, World, bus_as, run_system
from tests.integration.scheduler.operator import Operator
from tests.kit.calling_bus import REPLY_WITHIN_S
from tests.kit.nats import running_nats
from tests.kit.postgres import PostgresServer, database_with_long_timeout
from tests.kit.waiting import until, wait_if_midnight_is_near

TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"


@pytest.fixture(scope="module")
async def retaining(postgres_server: PostgresServer) -> AsyncIterator[System]:
    """A separate scheduler that deletes jobs; other tests of this folder check that no event is missing."""
    async with running_nats() as server:
        database = await postgres_server.create_database("scheduler")
        async with run_system(server.url, database, lease_s=60, retention_every_s=0.1) as system:
            yield system


@pytest.fixture
async def world(retaining: System) -> AsyncIterator[World]:
    await wait_if_midnight_is_near()
    world = World(retaining)
    yield world
    await world.end_all_jobs()


async def ended(world: World, tenant: UUID, **fields: Any) -> UUID:
    node = world.nodes[0] if world.nodes else await world.add_node()
    job_id = await world.submit_job(tenant, **fields)
    await node.finish((await node.claim_attempt()).ref)
    return job_id


async def purge(world: World, tenant: UUID, job_id: UUID) -> None:
    await world.system.bus.request(PURGE_JOB, PurgeJob(job_id=job_id), tenant=str(tenant))


async def refusal(world: World, tenant: UUID, job_id: UUID) -> tuple[ErrorKind, str]:
    with pytest.raises(RelayedRefusal) as caught:
        await purge(world, tenant, job_id)
    return caught.value.details.kind, caught.value.details.code


async def traces(world: World, job_id: UUID) -> set[str]:
    """Return the tables in which the job's id occurs in any column."""
    sql = world.system.sql
    names = [row["tablename"] for row in await sql.fetch(TABLES)]
    query = "SELECT count(*) FROM {0} WHERE {0}::text LIKE '%' || $1 || '%'"
    return {name for name in names if await sql.fetchval(query.format(name), str(job_id))}


async def test_purged_job_leaves_nothing_but_its_usage(world: World) -> None:
    tenant, other = world.add_tenant(images_per_day=5), world.add_tenant()
    job_id, kept = await ended(world, tenant, labels={"a": "canary"}), await ended(world, tenant)
    assert await traces(world, job_id) >= {"jobs", "graphs", "attempts", "job_events"}
    assert await refusal(world, other, job_id) == (ErrorKind.NOT_FOUND, "job.not_found")
    await purge(world, tenant, job_id)
    assert await traces(world, job_id) == {"outbox"}  # kept for an hour to publish messages again
    assert await refusal(world, tenant, job_id) == (ErrorKind.NOT_FOUND, "job.not_found")
    assert (await world.read_job(tenant, kept)).state is JobState.SUCCEEDED
    assert (await world.count_charged_images(tenant), await world.read_counters(tenant)) == (2, (0, 0))
    live = await world.submit_job(tenant)
    found = await world.system.bus.request(FIND_JOBS, FindJobs(job_ids=(job_id, kept, live, uuid4())))
    assert (set(found.job_ids), found.ended) == ({kept, live}, (kept,))
    subject = JOB_PURGED.subject(str(tenant), str(job_id))
    jetstream = world.system.bus.jetstream

    async def said() -> bool:
        info = await jetstream.stream_info(JOB_PURGES.name, subjects_filter=subject)
        return (info.state.subjects or {}) == {subject: 1}

    await until(said)
    body = await world.system.sql.fetchval("SELECT body FROM outbox WHERE subject = $1", subject)
    message = JobPurged.model_validate_json(body)
    assert (message.job_id, message.tenant_id, message.with_inputs) == (job_id, tenant, True)


async def test_purging_a_job_deletes_its_dead_letters(world: World) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    job_id = await world.submit_job(tenant)
    ref = (await node.claim_attempt()).ref
    body = json.dumps({"ref": ref.model_dump(mode="json"), "outcome": "exploded"}).encode()
    await world.system.bus._client.request(FINISH_ATTEMPT.subject(key=node.name), body, timeout=REPLY_WITHIN_S)
    count = "SELECT count(*) FROM dead_letters WHERE job_id = $1"
    assert await world.system.sql.fetchval(count, job_id) == 1
    assert await node.finish(ref)
    await purge(world, tenant, job_id)
    assert await world.system.sql.fetchval(count, job_id) == 0


@pytest.mark.requirement("F-112")
async def test_job_is_purged_only_after_it_has_ended_and_its_attempt_has_stopped(world: World) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    job_id = await world.submit_job(tenant)
    assert await refusal(world, tenant, job_id) == (ErrorKind.CONFLICT, "job.not_ended")
    given = await node.claim_attempt()
    assert await refusal(world, tenant, job_id) == (ErrorKind.CONFLICT, "job.not_ended")
    await world.cancel(tenant, job_id)
    assert await refusal(world, tenant, job_id) == (ErrorKind.CONFLICT, "job.stopping")
    await node.finish(given.ref, Outcome.CANCELLED)
    await purge(world, tenant, job_id)
    assert await world.read_counters(tenant) == (0, 0)
    assert not await node.finish(given.ref, Outcome.CANCELLED)


@pytest.mark.requirement("F-7", "table scheduler.spent_keys")
async def test_idempotency_key_of_a_purged_job_creates_no_second_job_for_a_day(world: World) -> None:
    tenant = world.add_tenant()
    job_id = await ended(world, tenant, idempotency_key="k", request_hash="h")
    await world.submit_job(tenant)  # so that the purge is not of the tenant's newest job
    await purge(world, tenant, job_id)

    async def sent(request_hash: str) -> str:
        with pytest.raises(RelayedRefusal) as caught:
            await world.submit(tenant, idempotency_key="k", request_hash=request_hash)
        return caught.value.details.code

    assert (await sent("h"), await sent("another")) == ("idempotency.job_purged", "idempotency.key_reused")
    assert await world.count_charged_images(tenant) == 2
    await world.system.sql.execute("UPDATE spent_keys SET expires_at = now() - interval '1 second'")

    async def forgotten() -> bool:
        return not await world.system.sql.fetchval("SELECT count(*) FROM spent_keys")

    await until(forgotten)
    assert not (await world.submit(tenant, idempotency_key="k", request_hash="h")).replayed


@pytest.mark.requirement("limit.result_days")
async def test_job_is_deleted_after_the_current_retention_of_its_tenant(world: World) -> None:
    tenant, forever = world.add_tenant(), world.add_tenant()
    old, young, others = await ended(world, tenant), await ended(world, tenant), await ended(world, forever)
    back = "UPDATE jobs SET completed_at = now() - make_interval(hours => $2) WHERE id = $1"
    for job_id, hours in ((old, 49), (young, 47), (others, 9999)):
        await world.system.sql.execute(back, job_id, hours)
    limits = world.system.auth.limits[tenant].model_copy(update={"result_days": 2})
    world.system.auth.limits[tenant] = limits
    change = UserChanged(
        user_id=tenant, version=2, tokens_from=0, is_active=True, tier=Tier.PRO, role=Role.USER, limits=limits,
        own_limits=False, at=datetime.now(UTC) + timedelta(0),
    )  # fmt: skip
    speaker = bus_as(world.system.nats_url, "auth")
    await speaker.start()
    try:
        await speaker.publish(USER_CHANGED, change, tenant=str(tenant))

        async def gone() -> bool:
            return await traces(world, old) == {"outbox"}

        await until(gone)
    finally:
        await speaker.stop()
    assert (await world.read_job(tenant, young)).state is JobState.SUCCEEDED
    assert (await world.read_job(forever, others)).state is JobState.SUCCEEDED
    subject = JOB_PURGED.subject(str(tenant), str(old))
    body = await world.system.sql.fetchval("SELECT body FROM outbox WHERE subject = $1", subject)
    assert not JobPurged.model_validate_json(body).with_inputs


@pytest.mark.requirement("limit.result_days")
async def test_new_retention_of_a_tier_reaches_a_tenant_that_submits_nothing_any_more(world: World) -> None:
    tenant = world.add_tenant()
    job_id = await ended(world, tenant)
    back = "UPDATE jobs SET completed_at = now() - interval '49 hours' WHERE id = $1"
    await world.system.sql.execute(back, job_id)
    limits = world.system.auth.limits[tenant]
    world.system.auth.limits[tenant] = limits.model_copy(update={"result_days": 2})  # without a change message

    async def gone() -> bool:
        return await traces(world, job_id) == {"outbox"}

    await until(gone)


@pytest.mark.requirement("retention.catalogs")
async def test_catalogs_that_no_node_has_are_deleted_after_a_day(world: World) -> None:
    await world.add_node()
    sql, database = world.system.sql, database_with_long_timeout(world.system.database_url)
    listed = "SELECT digest FROM catalogs"
    await sql.execute("UPDATE catalogs SET reported_at = now() - interval '2 days'")
    await sql.execute("""
        INSERT INTO catalogs (digest, classes_zlib, reported_at)
        VALUES ('old', '', now() - interval '25 hours'), ('young', '', now() - interval '23 hours')
    """)
    in_use = {row["digest"] for row in await sql.fetch("SELECT catalog_digest AS digest FROM nodes")}
    try:
        await nodes.prune_catalogs(database)
    finally:
        await database.close()
    left = {row["digest"] for row in await sql.fetch(listed)}
    assert left >= in_use | {"young"}
    assert "old" not in left
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await sql.execute("DELETE FROM catalogs WHERE digest = (SELECT catalog_digest FROM nodes LIMIT 1)")


async def test_two_schedulers_purge_each_job_once(world: World) -> None:
    tenant = world.add_tenant()
    jobs = [await ended(world, tenant) for _ in range(6)]
    async with run_system(world.system.nats_url, world.system.database_url, lease_s=60, retention_every_s=0.1):
        sql = world.system.sql
        await sql.execute("UPDATE jobs SET completed_at = now() - interval '3 days' WHERE tenant_id = $1", tenant)
        limits = world.system.auth.limits[tenant]
        world.system.auth.limits[tenant] = limits.model_copy(update={"result_days": 1})

        async def gone() -> bool:
            return not await sql.fetchval("SELECT count(*) FROM jobs WHERE tenant_id = $1", tenant)

        async with asyncio.timeout(30):
            await until(gone)
        rows = await sql.fetch("SELECT subject FROM outbox WHERE subject LIKE 'evt.scheduler.job.purged.%'")
    said = [UUID(row["subject"].rpartition(".")[2]) for row in rows]
    assert sorted(job_id for job_id in said if job_id in set(jobs)) == sorted(jobs)


@pytest.mark.requirement("S-84")
async def test_erased_tenant_leaves_nothing_once_its_attempts_have_ended(world: World) -> None:
    tenant, other, sql = world.add_tenant(images_per_day=9), world.add_tenant(), world.system.sql
    done, kept = await ended(world, tenant, idempotency_key="k"), await ended(world, other)
    node = await world.add_node()
    running = await world.submit_job(tenant)
    given = await node.claim_attempt()
    waiting = await world.submit_job(tenant)
    del world.system.auth.limits[tenant]  # from now on auth answers that the tenant is unknown
    world.system.auth.erased += [uuid4(), tenant]

    async def only_the_running_one_is_left() -> bool:
        rows = await sql.fetch("SELECT id, state FROM jobs WHERE tenant_id = $1", tenant)
        return [(row["id"], row["state"]) for row in rows] == [(running, "cancelled")]

    await until(only_the_running_one_is_left)
    assert await node.finish(given.ref, Outcome.CANCELLED)

    async def gone() -> bool:
        return await traces(world, tenant) <= {"outbox"}

    await until(gone)
    for job_id in (done, running, waiting):
        assert await traces(world, job_id) == {"outbox"}
    with pytest.raises(RelayedRefusal) as caught:
        await world.submit(tenant)
    assert caught.value.details.code == "auth.tenant.unknown"
    assert (await world.read_job(other, kept)).state is JobState.SUCCEEDED


@pytest.mark.requirement("S-84")
async def test_scheduler_reads_every_past_erasure_when_it_starts(world: World) -> None:
    tenant = world.add_tenant()
    job_id = await ended(world, tenant)
    world.system.auth.erased.insert(0, tenant)  # earlier than what the running scheduler has already read
    del world.system.auth.limits[tenant]
    assert "jobs" in await traces(world, job_id)
    async with run_system(world.system.nats_url, world.system.database_url, lease_s=60) as second:
        second.auth.erased[:] = world.system.auth.erased

        async def gone() -> bool:
            return await traces(world, tenant) <= {"outbox"}

        await until(gone)


@pytest.mark.requirement("table scheduler.purged_ends", "table scheduler.erased_usage")
async def test_statistics_and_usage_survive_purge_and_erasure(world: World) -> None:
    tenant, node, sql = world.add_tenant(), await world.add_node(), world.system.sql
    operator = Operator(world.system.bus)

    async def counted() -> tuple[object, ...]:
        """Return fresh statistics that do not depend on the current time, and the usage of all tenants."""
        now = await sql.fetchval("SELECT now()")
        found: Stats | None = None

        async def is_fresh() -> bool:
            nonlocal found
            found = await operator.stats()
            return bool(found.at >= now)

        await until(is_fresh)
        assert found is not None
        return found.throughput[-1], found.waits, found.failures, await operator.usage(None)

    before = await counted()
    jobs = [await world.submit_job(tenant, images=images) for images in (3, 1, 1)]
    assert await node.finish((await node.claim_attempt()).ref, images=3, gpu_seconds=2.5)
    failure = JobError(code="test.peculiar", message="m")
    assert await node.finish((await node.claim_attempt()).ref, Outcome.FAILED, gpu_seconds=0.5, error=failure)
    await world.cancel(tenant, jobs[2])
    stood = await counted()
    throughput, _, failures, usage = stood
    assert isinstance(throughput, Throughput)
    assert isinstance(before[0], Throughput)
    assert (throughput.jobs - before[0].jobs, throughput.images - before[0].images) == (3, 3)
    assert isinstance(failures, dict)
    assert failures["test.peculiar"] == 1
    for job_id in jobs:
        await purge(world, tenant, job_id)
        assert await traces(world, job_id) == {"outbox"}
    assert await counted() == stood

    del world.system.auth.limits[tenant]
    world.system.auth.erased.append(tenant)

    async def gone() -> bool:
        return await traces(world, tenant) <= {"outbox"}

    await until(gone)
    assert await counted() == stood
    assert (await operator.usage(tenant), usage != ()) == ((), True)
    await sql.execute("UPDATE purged_ends SET completed_at = now() - interval '25 hours'")

    async def is_over() -> bool:
        return not await sql.fetchval("SELECT count(*) FROM purged_ends")

    await until(is_over)
    assert "test.peculiar" not in str((await counted())[2])
