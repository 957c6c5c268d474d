"""The tenant's policy and the operators' rules determine which classes and models are accepted and listed."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.graph_policy.policy import ClassRules, GraphPolicy, TenantPolicy
from contracts.scheduler.fleet import READ_CLASSES, READ_FLEET, ReadClasses, ReadFleet
from contracts.scheduler.submissions import InvalidWorkflow
from contracts.wire.errors import RelayedRefusal
from tests.integration.scheduler.conftest import COMMON, System, World, catalog, run_system
from tests.kit.nats import running_nats
from tests.kit.postgres import PostgresServer
from tests.kit.waiting import until

STRICT = {"graph_policy": GraphPolicy.STRICT}


async def refusal_of(world: World, tenant: UUID, **fields: Any) -> list[str]:
    with pytest.raises(RelayedRefusal) as refused:
        await world.submit(tenant, **fields)
    assert refused.value.details.code == InvalidWorkflow.code
    return [error.code for error in refused.value.details.errors]


@pytest.fixture
async def no_rules(world: World) -> Any:
    """Remove all rules after the test."""
    yield
    await world.system.auth.change_rules()
    await until(lambda: saved_rules(world.system, ClassRules()))


@pytest.mark.requirement("B-41")
async def test_strict_policy_refuses_a_custom_class(world: World) -> None:
    await world.add_node()
    assert await refusal_of(world, world.add_tenant(**STRICT)) == ["node_class_not_allowed"]
    assert (await world.submit(world.add_tenant())).job.seq == 1


@pytest.mark.usefixtures("no_rules")
async def test_announced_class_rule_applies_without_reading_the_rules_from_auth(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict, open_ = world.add_tenant(**STRICT), world.add_tenant()
    await world.add_node()
    monkeypatch.setattr(world.system.auth, "replies_with_rules", False)
    assert await refusal_of(world, strict) == ["node_class_not_allowed"]

    async def accepted(tenant: UUID) -> bool:
        try:
            await world.submit(tenant)
        except RelayedRefusal:
            return False
        return True

    await world.system.auth.change_rules(allowed_classes=("Draw",))
    await until(lambda: accepted(strict))
    await world.system.auth.change_rules(denied_classes=("SaveImage",), allowed_classes=("Draw",))

    async def refused(tenant: UUID) -> bool:
        return not await accepted(tenant)

    await until(lambda: refused(open_))
    assert await refusal_of(world, strict) == ["node_class_not_allowed"]


@pytest.mark.usefixtures("no_rules")
async def test_attempt_carries_the_policy_in_force_when_it_is_claimed(world: World) -> None:
    tenant = world.add_tenant()
    node = await world.add_node()
    job_id = await world.submit_job(tenant)
    await world.system.auth.change_rules(denied_packs=("custom_nodes.late",))
    expected = TenantPolicy(mode=GraphPolicy.OPEN, rules=world.system.auth.rules)
    await until(lambda: saved_rules(world.system, expected.rules))
    assignment = await node.claim_attempt()
    assert assignment.ref.job_id == job_id
    assert assignment.policy == expected
    again = await node.claim_attempt()
    assert again.policy == expected
    await node.finish(assignment.ref)


async def saved_rules(system: System, rules: ClassRules) -> bool:
    saved = await system.sql.fetchval("SELECT rules FROM class_rules")
    return saved is not None and ClassRules.model_validate_json(saved) == rules


@pytest.mark.usefixtures("no_rules")
async def test_tenant_sees_only_classes_and_models_that_its_policy_allows(world: World) -> None:
    strict, open_ = world.add_tenant(**STRICT), world.add_tenant()
    await world.add_node()
    await world.until_offered(COMMON)

    async def classes(tenant: UUID, **query: Any) -> dict[str, str | None]:
        page = await world.system.bus.request(READ_CLASSES, ReadClasses(**query), tenant=str(tenant))
        return {found.name: found.refused for found in page.classes}

    assert "Draw" in await classes(open_)
    assert "Draw" not in await classes(strict)
    assert (await classes(strict))["SaveImage"] is None
    reason = (await classes(strict, refused=True))["Draw"]
    assert reason is not None
    assert "Ask the operator of this API to allow the class" in reason
    await world.system.auth.change_rules(denied_classes=("CheckpointLoaderSimple",))

    async def hidden() -> bool:
        fleet = await world.system.bus.request(READ_FLEET, ReadFleet(), tenant=str(open_))
        return not fleet.models and "CheckpointLoaderSimple" not in fleet.classes

    await until(hidden)


async def test_models_are_offered_as_soon_as_their_node_reported_them(world: World) -> None:
    async def list_checkpoints() -> Sequence[str]:
        fleet = await world.system.bus.request(READ_FLEET, ReadFleet())
        return fleet.models.get("CheckpointLoaderSimple.ckpt_name", ())

    for _ in range(5):
        await list_checkpoints()  # fills the cache
        model = f"{uuid4().hex}.safetensors"
        await asyncio.gather(world.add_node(model), list_checkpoints())
        assert model in await list_checkpoints()


@pytest.mark.requirement("table scheduler.models_at_join")
async def test_model_that_appears_after_a_node_joined_is_not_a_default_model(world: World) -> None:
    evil = f"00-{uuid4().hex}.safetensors"
    node = await world.add_node(COMMON)
    node.models = catalog(COMMON, evil)
    await node.join()
    await world.until_offered(evil)
    fleet = await world.system.bus.request(READ_FLEET, ReadFleet())
    assert COMMON in fleet.default_models
    assert evil not in fleet.default_models
    assert evil in fleet.models["CheckpointLoaderSimple.ckpt_name"]


async def test_node_joins_again_as_new_after_it_was_forgotten(world: World) -> None:
    late = f"{uuid4().hex}.safetensors"
    node = await world.add_node(COMMON)
    sql = "UPDATE nodes SET seen_at = now() - interval '2 days' WHERE name = $1"
    await world.system.sql.execute(sql, node.name)
    node.models = catalog(COMMON, late)
    await node.join()
    noted = await world.system.sql.fetch("SELECT model FROM models_at_join WHERE node = $1", node.name)
    assert {row["model"] for row in noted} == {f"CheckpointLoaderSimple.ckpt_name={one}" for one in (COMMON, late)}


async def test_default_models_setting_determines_the_default_models(postgres_server: PostgresServer) -> None:
    async with running_nats() as server:
        url = await postgres_server.create_database("scheduler")
        async with run_system(
            server.url, url, lease_s=60, default_models="absent.safetensors, b.safetensors"
        ) as system:
            world = World(system)
            await world.add_node("a.safetensors", "b.safetensors")
            await world.until_offered("b.safetensors")
            fleet = await system.bus.request(READ_FLEET, ReadFleet())
            assert fleet.default_models == ("b.safetensors",)


@pytest.mark.requirement("table scheduler.class_rules")
async def test_class_rules_survive_a_restart_while_auth_is_unavailable(postgres_server: PostgresServer) -> None:
    async with running_nats() as server:
        url = await postgres_server.create_database("scheduler")
        async with run_system(server.url, url, lease_s=60) as system:
            world = World(system)
            tenant = world.add_tenant()
            await world.add_node()
            await world.submit_job(tenant)
            await system.auth.change_rules(denied_classes=("Draw",))
            await until(lambda: saved_rules(system, system.auth.rules))
        async with run_system(server.url, url, lease_s=60, knows_rules=False) as system:
            system.auth.limits = world.system.auth.limits
            assert await refusal_of(World(system), tenant) == ["node_class_not_allowed"]


async def test_policy_is_strict_while_the_class_rules_are_unknown(postgres_server: PostgresServer) -> None:
    async with running_nats() as server:
        url = await postgres_server.create_database("scheduler")
        async with run_system(server.url, url, lease_s=60) as system:
            world = World(system)
            tenant = world.add_tenant()
            await world.add_node()
            await world.submit_job(tenant)
            await system.sql.execute("DELETE FROM class_rules")
        async with run_system(server.url, url, lease_s=60, knows_rules=False) as system:
            system.auth.limits = world.system.auth.limits
            assert await refusal_of(World(system), tenant) == ["node_class_not_allowed"]
