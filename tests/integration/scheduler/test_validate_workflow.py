"""Validation returns the same errors as a submit, and writes nothing."""

from typing import Any
from uuid import UUID

import pytest

from chassis.ids import new_id
from contracts.scheduler.submissions import VALIDATE_WORKFLOW, RandomInput, SubmitJob, ValidationReply
from contracts.wire.errors import RelayedRefusal
from tests.integration.scheduler.conftest import World, build_graph


async def validated(world: World, tenant: UUID, **fields: Any) -> ValidationReply:
    command = SubmitJob(**{"job_id": new_id(), "graph": build_graph(), "request_hash": ""} | fields)
    return await world.system.bus.request(VALIDATE_WORKFLOW, command, tenant=str(tenant))


async def test_validation_returns_images_and_random_seeds_and_reserves_nothing(world: World) -> None:
    tenant = world.add_tenant(images_per_day=5)
    await world.add_node()
    sent = build_graph(images=2)
    sent["3"]["inputs"]["seed"] = -1
    told = await validated(world, tenant, graph=sent)
    assert (told.errors, told.images) == ((), 2)
    assert told.random_seeds == (RandomInput(node_id="3", input="seed"),)
    assert [warning.code for warning in told.warnings] == ["seed_random"]
    assert (await world.read_counters(tenant), await world.count_charged_images(tenant)) == ((0, 0), 0)


@pytest.mark.parametrize(
    ("limits", "fields"),
    [
        ({}, {"graph": build_graph("gone.safetensors")}),
        ({"graph_nodes": 2}, {}),
        ({}, {"graph": {"1": {"class_type": "Nowhere", "inputs": {}}}}),
        ({}, {"graph": {"1": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}}}}),
    ],
    ids=["missing model", "beyond the tier", "unknown class", "cycle"],
)
async def test_validation_returns_the_errors_of_a_submit(
    world: World, limits: dict[str, Any], fields: dict[str, Any]
) -> None:
    tenant = world.add_tenant(**limits)
    await world.add_node()
    told = await validated(world, tenant, **fields)
    with pytest.raises(RelayedRefusal) as refused:
        await world.submit(tenant, **fields)
    assert told.errors == refused.value.details.errors
    assert told.errors
    assert told.images is None


async def test_time_limits_beyond_the_tier_are_errors(world: World) -> None:
    tenant = world.add_tenant(run_seconds=60, start_seconds=60)
    await world.add_node()
    for name, code in (("run", "job.run_time_too_long"), ("start", "job.start_time_too_long")):
        (error,) = (await validated(world, tenant, **{f"{name}_within_seconds": 61})).errors
        assert (error.code, error.pointer) == (code, f"/{name}_within_seconds")


async def test_reached_limit_is_a_warning(world: World) -> None:
    tenant, node = world.add_tenant(images_per_day=2), await world.add_node()
    await world.submit_job(tenant, images=2)
    told = await validated(world, tenant)
    assert not told.errors
    assert [warning.code for warning in told.warnings] == ["quota.images_exceeded"]
    assert await world.count_charged_images(tenant) == 2
    assert await node.finish((await node.claim_attempt()).ref)
