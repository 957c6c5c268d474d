"""Graphs that are made to cost much: how they are refused, and what others of their message are told."""

from typing import Any

import pytest

from contracts.scheduler.submissions import InvalidWorkflow
from contracts.wire.errors import Relayed
from tests.integration.scheduler.conftest import COMMON, RARE, World, graph

NODES = 1_900


def many(node: dict[str, Any]) -> dict[str, Any]:
    return graph() | {f"n{number}": node for number in range(NODES)}


async def refused(world: World, raw: dict[str, Any]) -> Relayed:
    with pytest.raises(Relayed) as raised:
        await world.submit(world.tenant(), graph=raw)
    assert raised.value.refused.code == InvalidWorkflow.code
    return raised.value


@pytest.mark.requirement("B-47")
async def test_thousands_of_unknown_classes_tell_a_hundred_errors_and_few_suggestions(world: World) -> None:
    await world.node()
    known = sorted({node["class_type"] for node in graph().values()})
    unknown = {f"n{number}": {"class_type": f"{known[0]}{number}", "inputs": {}} for number in range(NODES)}
    errors = (await refused(world, graph() | unknown)).refused.errors
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
async def test_what_is_wrong_in_every_node_is_told_a_hundred_times(
    world: World, node: dict[str, Any], code: str
) -> None:
    await world.node()
    errors = (await refused(world, many(node))).refused.errors
    assert ({error.code for error in errors}, len(errors)) == ({code}, 100)


async def test_of_several_kinds_of_nodes_the_closest_says_what_is_missing(world: World) -> None:
    await world.node(COMMON)
    await world.node(COMMON, RARE)
    await world.until_offered(RARE)
    assert await world.job(world.tenant(), model=RARE)
    errors = (await refused(world, graph(model="none") | {"x": {"class_type": "Gone", "inputs": {}}})).refused.errors
    assert {error.code for error in errors} == {"value_not_in_list", "unknown_node_class"}


async def test_a_large_graph_runs_as_it_was_sent(world: World) -> None:
    tenant, node = world.tenant(), await world.node()
    large = graph()
    some = next(iter(large))
    large[some] = large[some] | {"_meta": {"title": "x" * 100_000}}
    job_id = await world.job(tenant, graph=large)
    given = await node.claim()
    assert (given.ref.job_id, given.graph) == (job_id, large)
    assert await node.finish(given.ref)
