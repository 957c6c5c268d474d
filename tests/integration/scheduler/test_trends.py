"""Trends of jobs and nodes over time, aggregated after the end of each minute."""

from datetime import UTC, datetime, timedelta

import pytest

from contracts.scheduler.attempts import Outcome
from contracts.scheduler.trends import Trends
from tests.integration.scheduler.conftest import World
from tests.integration.scheduler.operator import Operator
from tests.kit.waiting import until

TABLES = ("trend_jobs", "trend_durations", "trend_failures", "trend_nodes")


@pytest.mark.requirement(
    "operator.trends",
    "table scheduler.trend_durations",
    "table scheduler.trend_failures",
    "table scheduler.trend_jobs",
    "table scheduler.trend_nodes",
)
async def test_trends_include_the_current_minute(world: World) -> None:
    operator, sql = Operator(world.system.bus), world.system.sql
    before = await operator.trends(hours=2, step_s=60)
    tenant, node = world.add_tenant(), await world.add_node()
    for ending in (Outcome.SUCCEEDED, Outcome.SUCCEEDED, Outcome.FAILED, Outcome.NODE_FAULT, None):
        await world.submit_job(tenant, images=3)
        given = await node.claim_attempt()
        if ending is None:
            await world.cancel(tenant, given.ref.job_id)
            assert await node.finish(given.ref, Outcome.CANCELLED)
        else:
            assert await node.finish(given.ref, ending, images=3)
        if ending is Outcome.NODE_FAULT:  # the second attempt of the same job
            given = await node.claim_attempt()
            assert await node.finish(given.ref, images=3)
    await world.submit_job(tenant)
    failed = await sql.fetchval("SELECT id FROM jobs WHERE tenant_id = $1 AND state = 'failed'", tenant)

    async def recent() -> Trends:
        return await operator.trends(start=datetime.now(UTC) - timedelta(hours=2), step_s=60)

    now = await recent()
    assert _counts(now) == tuple(map(sum, zip(_counts(before), (6, 6, 3, 1, 1, 9), strict=True)))
    assert sum(bucket.submitted for bucket in now.buckets) == now.totals.submitted
    assert failed in {failure.job_id for failure in now.failures}
    (mine,) = [one for one in now.nodes if one.node == node.name]
    assert (mine.started, mine.succeeded, mine.failed, mine.faults) == (6, 3, 1, 1)

    # Move jobs and attempts into the past, delete the totals, and let the scheduler compute them again.
    for table, columns in (
        ("jobs", ("created_at", "started_at", "completed_at")),
        ("attempts", ("leased_at", "ended_at")),
    ):
        earlier = ", ".join(f"{column} = {column} - interval '4 minutes'" for column in columns)
        await sql.execute(f"UPDATE {table} SET {earlier}")  # noqa: S608 - constants only
    await sql.execute("UPDATE jobs SET created_at = started_at - interval '20 seconds' WHERE started_at IS NOT NULL")
    await sql.execute("UPDATE attempts SET leased_at = ended_at - interval '10 seconds' WHERE tenant_id = $1", tenant)
    await sql.execute("UPDATE jobs SET completed_at = started_at + interval '10 seconds' WHERE state = 'succeeded'")
    await sql.execute(f"TRUNCATE {', '.join(TABLES)}")

    async def is_added_up() -> bool:
        await node.join()  # keeps the node online
        newest = await sql.fetchval("SELECT max(at) FROM trend_jobs")
        return newest is not None and datetime.now(UTC) - newest < timedelta(minutes=3)

    await until(is_added_up, within_s=90)
    stored = await recent()
    assert _counts(stored)[1:] == _counts(now)[1:]
    (mine,) = [one for one in stored.nodes if one.node == node.name]
    assert (mine.started, mine.succeeded, mine.failed, mine.faults) == (6, 3, 1, 1)
    assert mine.busy_share is not None
    (hour,) = await sql.fetch("SELECT sum(completed) AS hour FROM trend_jobs WHERE step_s = 3600")
    assert hour["hour"] >= now.totals.completed
    waits = {(row["kind"], row["bin"]) for row in await sql.fetch("SELECT kind, bin FROM trend_durations")}
    assert {("wait", 41), ("run", 37)} <= waits  # bins of 20 s and 10 s
    await sql.execute("DELETE FROM trend_durations WHERE (kind, bin) NOT IN (('wait', 41), ('run', 37))")
    measured = (await operator.trends(hours=1.5)).totals
    assert measured.wait_p95_s == pytest.approx(20, rel=0.1)
    assert measured.run_p95_s == pytest.approx(10, rel=0.1)


async def test_trend_window_is_rounded_to_a_bounded_number_of_whole_buckets(world: World) -> None:
    operator = Operator(world.system.bus)
    now = datetime.now(UTC)
    day = await operator.trends()
    assert (day.step_s, len(day.buckets)) == (900, len({bucket.at for bucket in day.buckets}))
    assert all(bucket.at.timestamp() % 900 == 0 for bucket in day.buckets)
    assert 96 <= len(day.buckets) <= 97
    fine = await operator.trends(hours=24, step_s=60)
    assert (fine.step_s, len(fine.buckets) <= 500) == (300, True)
    month = await operator.trends(start=now - timedelta(days=400), step_s=60)
    assert (month.step_s, month.start >= now - timedelta(days=32)) == (7200, True)
    reversed_ = await operator.trends(start=now, end=now - timedelta(hours=1))
    assert len(reversed_.buckets) <= 1


def _counts(trends: Trends) -> tuple[int, ...]:
    totals = trends.totals
    return (
        totals.submitted, totals.started, totals.completed, totals.failed, totals.cancelled, totals.images,
    )  # fmt: skip
