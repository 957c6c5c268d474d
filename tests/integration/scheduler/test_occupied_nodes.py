"""Operators see what occupies a node, and their commands reach its executor with the next heartbeat."""

from typing import Any
from uuid import uuid4

import pytest

from contracts.scheduler.attempts import Outcome
from contracts.scheduler.heartbeats import OccupancyCause, ReportedOccupancy
from contracts.scheduler.nodes import NodeAction, NodeState, UnknownNode
from contracts.scheduler.submissions import InvalidWorkflow
from contracts.wire.errors import InvalidMessage, Refusal
from tests.integration.scheduler.conftest import COMMON, System, World
from tests.integration.scheduler.operator import Operator
from tests.kit.waiting import until


@pytest.fixture
def operator(system: System) -> Operator:
    return Operator(system.bus)


def new_model() -> str:
    return f"{uuid4().hex}.safetensors"


async def until_looked(world: World) -> None:
    """Wait until the scheduler has read its nodes again."""
    marker = new_model()
    await world.add_node(marker)
    await world.until_offered(marker)


def foreign(prompt_id: str | None, seconds: float, *, blocked: bool = False) -> ReportedOccupancy:
    return ReportedOccupancy(by=OccupancyCause.FOREIGN_PROMPT, prompt_id=prompt_id, seconds=seconds, blocked=blocked)


async def test_operators_see_what_occupies_a_node(world: World, operator: Operator) -> None:
    node = await world.add_node()
    await node.send_heartbeat(occupied=foreign("a", 100))
    held = (await operator.nodes())[node.name]
    assert held.occupied is not None
    assert (held.blocked, held.occupied.by, held.occupied.prompt_id) == (False, OccupancyCause.FOREIGN_PROMPT, "a")
    assert (held.seen_at - held.occupied.since).total_seconds() == pytest.approx(100)
    await node.send_heartbeat(occupied=foreign("a", 700, blocked=True))
    blocked = (await operator.nodes())[node.name]
    assert blocked.blocked
    assert blocked.occupied == held.occupied  # unchanged, although the executor measures with its own clock

    async def is_counted() -> bool:  # statistics are cached for some seconds
        return (await operator.stats()).nodes.blocked >= 1

    await until(is_counted)
    await node.send_heartbeat()
    free = (await operator.nodes())[node.name]
    assert (free.blocked, free.occupied) == (False, None)


async def test_operators_see_that_the_journal_of_an_executor_cannot_be_written(
    world: World, operator: Operator
) -> None:
    node = await world.add_node()
    await node.send_heartbeat(occupied=ReportedOccupancy(by=OccupancyCause.JOURNAL, seconds=700, blocked=True))
    seen = (await operator.nodes())[node.name]
    assert seen.occupied is not None
    assert (seen.state, seen.occupied.by) == (NodeState.BLOCKED, OccupancyCause.JOURNAL)


async def test_leftover_prompt_of_an_ended_attempt_is_shown_with_its_job(world: World, operator: Operator) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    job_id = await world.submit_job(tenant)
    given = await node.claim_attempt()
    assert await node.finish(given.ref, Outcome.FAILED)
    left = ReportedOccupancy(by=OccupancyCause.OWN_PROMPT, prompt_id=str(given.prompt_id), seconds=1, blocked=True)
    await node.send_heartbeat(occupied=left)
    held = (await operator.nodes())[node.name].occupied
    assert held is not None
    assert (held.by, held.job_id) == (OccupancyCause.OWN_PROMPT, job_id)


async def test_heartbeat_replies_repeat_a_command_until_it_is_done(world: World, operator: Operator) -> None:
    node, other = await world.add_node(), await world.add_node()
    for order, told, done in ((NodeAction.CLEAR, "clear", "cleared"), (NodeAction.REFRESH, "refresh", "refreshed")):
        stands = await operator.node(node.name, order)
        assert stands is not None
        first, second = [getattr(await node.send_heartbeat(), told) for _ in range(2)]
        assert first is not None
        assert second == first
        assert getattr(await other.send_heartbeat(), told) is None
        carried_out: dict[str, Any] = {done: first}
        assert getattr(await node.send_heartbeat(**carried_out), told) is None
        assert getattr(await node.send_heartbeat(), told) is None
        await operator.node(node.name, order)
        again = getattr(await node.send_heartbeat(**carried_out), told)
        assert again > first


async def test_operator_refresh_reloads_the_catalog_of_every_node(world: World, operator: Operator) -> None:
    nodes = [await world.add_node(), await world.add_node()]
    assert await operator.node(None, NodeAction.REFRESH) is None
    for node in nodes:
        assert (await node.send_heartbeat()).refresh is not None
    with pytest.raises(Refusal) as refused:
        await operator.node(None, NodeAction.DRAIN)
    assert refused.value.details.code == InvalidMessage.code
    with pytest.raises(Refusal) as refused:
        await operator.node(f"n-{uuid4().hex[:12]}", NodeAction.CLEAR)
    assert refused.value.details.code == UnknownNode.code


async def test_job_returns_to_its_avoided_node_when_the_other_node_is_blocked(world: World) -> None:
    tenant, own = world.add_tenant(), new_model()
    first, second = await world.add_node(own), await world.add_node(own)
    await world.until_offered(own)
    await world.submit_job(tenant, model=own)
    given = await first.claim_attempt()
    assert await first.finish(given.ref, Outcome.NODE_FAULT, node_died=True)
    assert await first.request_work() is None
    await second.send_heartbeat(occupied=foreign(None, 700, blocked=True))
    again = await first.claim_attempt()
    assert again.ref.job_id == given.ref.job_id
    assert await first.finish(again.ref)


@pytest.mark.requirement("table scheduler.replaced_catalogs")
async def test_job_is_accepted_for_a_model_that_disappeared_a_moment_ago(world: World) -> None:
    tenant, own, other = world.add_tenant(), new_model(), new_model()
    node = await world.add_node(COMMON, own, other)
    await world.until_offered(own)
    for models in ((COMMON,), (COMMON, other)):  # all models disappear, then some are back
        await node.change_models(*models)
        await until_looked(world)
        job_id = await world.submit_job(tenant, model=own)
        assert await node.request_work() is None
        await node.change_models(COMMON, own, other)
        given = await node.claim_attempt()
        assert given.ref.job_id == job_id
        assert await node.finish(given.ref)


@pytest.mark.requirement("F-59")
async def test_removed_model_is_refused_after_the_grace_period(world: World) -> None:
    tenant, own = world.add_tenant(), new_model()
    node = await world.add_node(COMMON, own)
    await world.until_offered(own)
    await node.change_models(COMMON)
    await world.system.sql.execute("UPDATE replaced_catalogs SET replaced_at = replaced_at - interval '1 hour'")
    await until_looked(world)
    with pytest.raises(Refusal) as refused:
        await world.submit_job(tenant, model=own)
    assert refused.value.details.code == InvalidWorkflow.code
