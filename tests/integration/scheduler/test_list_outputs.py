"""The list of outputs of all jobs of a tenant: order, filters, and rows read."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from chassis.database.statement import Statement
from chassis.ids import new_id
from contracts.scheduler.attempts import Outcome
from contracts.scheduler.output_lists import LIST_OUTPUTS, ListOutputs, OutputPage, OutputPosition
from contracts.scheduler.outputs import Output, OutputKind
from scheduler.store.outputs import build_output_query
from tests.integration.scheduler.conftest import World

FEW, MANY = 500, 20_000  # jobs of two tenants
INSERT_JOBS = """
INSERT INTO jobs (id, tenant_id, state, priority, workflow, labels, requirement_id, images, usage_day, seq,
    request_hash, created_at, completed_at, outputs)
SELECT gen_random_uuid(), $1, 'succeeded', 0, 'custom', '{}', (SELECT min(id) FROM requirements), 1, current_date, 1,
    '', now() - n * interval '1 minute', now() - n * interval '1 minute', $3
FROM generate_series(1, $2::int) n
"""


def output(name: str, kind: OutputKind = OutputKind.IMAGE, *, temporary: bool = False) -> Output:
    return Output(
        id=new_id(), node_id="9", name=name, kind=kind, content_type="image/png", size_bytes=1, sha256="0" * 64,
        temporary=temporary,
    )  # fmt: skip


async def list_outputs(world: World, tenant: UUID, **query: Any) -> OutputPage:
    return await world.system.bus.request(LIST_OUTPUTS, ListOutputs(**query), tenant=str(tenant))


async def names(world: World, tenant: UUID, **query: Any) -> list[str]:
    return [one.output.name for one in (await list_outputs(world, tenant, **query)).outputs]


async def test_outputs_of_the_job_that_ended_last_come_first_and_filters_apply(world: World) -> None:
    tenant, other = world.add_tenant(), world.add_tenant()
    node = await world.add_node()
    first = await world.submit_job(tenant, labels={"campaign": "autumn"}, workflow="portrait")
    second = await world.submit_job(tenant)
    failed = await world.submit_job(tenant)
    made = {first: (output("a"), output("b", temporary=True)), second: (output("c"), output("d", OutputKind.VIDEO))}
    for _ in range(3):
        ref = (await node.claim_attempt()).ref
        await node.start(ref)
        if ref.job_id == failed:
            await node.finish(ref, Outcome.FAILED)
        else:
            await node.finish(ref, outputs=made[ref.job_id])
    assert await names(world, tenant) == ["c", "d", "a", "b"]
    for place, one in enumerate((await list_outputs(world, tenant)).outputs):
        after = OutputPosition(completed_at=one.completed_at, job_id=one.job_id, index=one.index)
        assert await names(world, tenant, after=after) == ["c", "d", "a", "b"][place + 1 :]
    assert (await list_outputs(world, tenant, limit=3)).more
    assert not (await list_outputs(world, tenant, limit=4)).more
    assert await names(world, tenant, kinds=(OutputKind.VIDEO,)) == ["d"]
    assert await names(world, tenant, temporary=False) == ["c", "d", "a"]
    assert await names(world, tenant, temporary=True) == ["b"]
    assert await names(world, tenant, workflow="portrait") == ["a", "b"]
    assert await names(world, tenant, label=("campaign", "autumn")) == ["a", "b"]
    assert await names(world, tenant, job_id=second) == ["c", "d"]
    ended = (await world.read_job(tenant, second)).completed_at
    assert await names(world, tenant, created_after=ended) == ["c", "d"]
    assert await names(world, tenant, created_before=ended) == ["a", "b"]
    assert await names(world, other) == []
    assert await names(world, other, job_id=first) == []


async def test_listing_outputs_reads_a_bounded_number_of_index_entries(world: World) -> None:
    small, large = world.add_tenant(), world.add_tenant()
    await world.add_node()
    for tenant in (small, large):
        await world.submit_job(tenant)
    after = {"after_at": datetime.now(UTC) - timedelta(hours=2), "after_job": uuid4(), "after_index": 0}
    filters: list[dict[str, Any]] = [{}, after, {"kinds": ["image"]}, {"created_before": datetime.now(UTC)}]
    made = json.dumps([output(name).model_dump(mode="json") for name in "ab"])
    async with world.system.sql.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute(INSERT_JOBS, small, FEW, made)
            await connection.execute(INSERT_JOBS, large, MANY, made)
            await connection.execute("ANALYZE jobs")
            for given in filters:
                statement = Statement("EXPLAIN (ANALYZE, FORMAT JSON) " + build_output_query(given))
                for tenant in (small, large):
                    plan = await statement.fetch_value(connection, **given, tenant_id=tenant, limit=101)
                    scan = find_scan(json.loads(plan)[0]["Plan"])
                    assert scan["Actual Rows"] < 110
                    assert tenant == large or scan["Index Name"] == "ix_jobs_ended"
        finally:
            await transaction.rollback()


def find_scan(plan: dict[str, Any]) -> dict[str, Any]:
    """Return the node of a query plan that scans ``jobs``."""
    while plan.get("Relation Name") != "jobs":
        plan = plan["Plans"][0]
    return plan
