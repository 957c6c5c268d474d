"""Ordinary workflows of stock classes pass all checks of a submission."""

import pytest

from contracts.graph_policy.policy import GraphPolicy, TenantPolicy
from contracts.workflow import ancestors, read_graph
from scheduler.domain.catalog import Catalog
from scheduler.domain.fleet_check import RunnableGraph, UnrunnableGraph, check_fleet
from tests.ordinary_graphs.builder import UPLOADS, OrdinaryGraph
from tests.ordinary_graphs.catalog import catalog_for
from tests.ordinary_graphs.corpus import ordinary_graphs

GRAPHS = ordinary_graphs()
CATALOG = Catalog(catalog_for(GRAPHS))
SHAPES = {
    *("txt2img", "img2img", "edit", "inpaint", "outpaint", "controlnet", "lora", "hires", "upscale", "image_prompt"),
    *("regional", "custom_sampling", "merge", "compositing", "batch", "latent", "primitives", "text", "3d"),
    *("txt2video", "img2video", "video2video", "audio", "exported"),
}

# No limit covers the cost of ImageCompositor.
REFUSED = {"layers_composed"}
STRICT, OPEN = TenantPolicy(mode=GraphPolicy.STRICT), TenantPolicy(mode=GraphPolicy.OPEN)

every_graph = pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.name)


def test_corpus_has_a_hundred_distinct_graphs() -> None:
    assert len({graph.name for graph in GRAPHS}) == len(GRAPHS)
    assert len({repr(graph.workflow) for graph in GRAPHS}) >= 100
    assert {graph.shape for graph in GRAPHS} == SHAPES


@every_graph
def test_ordinary_graph_passes_the_checks_of_a_submission(graph: OrdinaryGraph) -> None:
    read, errors = read_graph(graph.workflow)
    assert not errors
    found = check_fleet(read, graph.uploads, [CATALOG], policy=OPEN, draw_seed=lambda _: 0)
    assert isinstance(found, RunnableGraph)
    assert set(found.check_result.graph) == set(read)
    strict = check_fleet(read, graph.uploads, [CATALOG], policy=STRICT, draw_seed=lambda _: 0)
    refused = {one.fault.code for one in strict.findings} if isinstance(strict, UnrunnableGraph) else set()
    assert refused == ({"node_class_not_allowed"} if graph.name in REFUSED else set())


@every_graph
def test_every_node_of_an_ordinary_graph_feeds_an_output(graph: OrdinaryGraph) -> None:
    read, _ = read_graph(graph.workflow)
    outputs = [node_id for node_id, node in read.items() if CATALOG.classes[node.class_type].output_node]
    assert {node for output in outputs for node in ancestors(read, output)} == set(read)


@pytest.mark.parametrize("graph", [graph for graph in GRAPHS if graph.uploads], ids=lambda graph: graph.name)
def test_ordinary_graph_is_refused_without_its_uploads(graph: OrdinaryGraph) -> None:
    read, _ = read_graph(graph.workflow)
    found = check_fleet(read, frozenset(), [CATALOG], policy=OPEN, draw_seed=lambda _: 0)
    assert isinstance(found, UnrunnableGraph)
    assert {error.code for error in found.build_refusal().refused.errors} == {"file_not_uploaded"}


def test_every_upload_of_the_corpus_is_used() -> None:
    assert frozenset().union(*(graph.uploads for graph in GRAPHS)) == set(UPLOADS)
