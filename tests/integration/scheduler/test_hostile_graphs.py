"""Graphs that are designed to be expensive are refused at bounded cost."""

from typing import Any

import pytest

from contracts.scheduler.submissions import InvalidWorkflow
from contracts.wire.errors import RelayedRefusal
from tests.integration.scheduler.conftest import COMMON, RARE, World, build_graph

NODES = 1_900


def many(node: dict[str, Any]) -> dict[str, Any]:
    return build_graph() | {f"n{number}": node for number in range(NODES)}


async def refused(world: World, raw: dict[str, Any]) -> RelayedRefusal:
    with pytest.raises(RelayedRefusal) as raised:
        await world.submit(world.add_tenant(), graph=raw)
    assert raised.value.details.code == InvalidWorkflow.code
    return raised.value


@pytest.mark.requirement("B-47")
async def test_errors_and_suggestions_for_thousands_of_unknown_classes_are_bounded(world: World) -> None:
    await world.add_node()
    known = sorted({node["class_type"] for node in build_graph().values()})
    unknown = {f"n{number}": {"class_type": f"{known[0]}{number}", "inputs": {}} for number in range(NODES)}
    errors = (await refused(world, build_graph() | unknown)).details.errors
    assert {error.code for error in errors} == {"unknown_node_class"}
    assert len(errors) == 100
    suggested = [error for error in errors if error.allowed]
    assert len(suggested) == 5
    assert all(known[0] in (error.allowed or ()) for error in suggested)


@pytest.mark.parametrize(
    ("node", "code"),
    [
        ({"class_type": "X" * 300, "inputs": {}}, "unknown_node_class"),
        ({"class_type": "SaveImage", "inputs": {"images": ["gone", 0]}}, "broken_link"),
        ({"class_type": "SaveImage", "inputs": {}}, "required_input_missing"),
        ({"class_type": "X", "inputs": {"x": 2**70}}, "integer_out_of_range"),
        ({"class_type": "X"}, "node_malformed"),
    ],
)
async def test_errors_are_bounded_when_every_node_is_invalid(world: World, node: dict[str, Any], code: str) -> None:
    await world.add_node()
    errors = (await refused(world, many(node))).details.errors
    assert ({error.code for error in errors}, len(errors)) == ({code}, 100)


async def test_reported_errors_are_those_of_the_gpu_node_with_fewest_errors(world: World) -> None:
    await world.add_node(COMMON)
    await world.add_node(COMMON, RARE)
    await world.until_offered(RARE)
    assert await world.submit_job(world.add_tenant(), model=RARE)
    errors = (
        await refused(world, build_graph(model="none") | {"x": {"class_type": "Gone", "inputs": {}}})
    ).details.errors
    assert {error.code for error in errors} == {"value_not_in_list", "unknown_node_class"}


async def test_large_graph_reaches_the_node_unchanged(world: World) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    large = build_graph()
    some = next(iter(large))
    large[some] = large[some] | {"_meta": {"title": "x" * 100_000}}
    job_id = await world.submit_job(tenant, graph=large)
    given = await node.claim_attempt()
    assert (given.ref.job_id, given.graph) == (job_id, large)
    assert await node.finish(given.ref)
