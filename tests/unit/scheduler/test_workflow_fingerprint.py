"""Workflows with comparable run times have the same fingerprint, others have not."""

from copy import deepcopy
from typing import Any

import pytest

from contracts.workflow import MAX_LINKS, MAX_NODES, read_graph
from scheduler.domain.workflow_fingerprint import compute_fingerprint

GRAPH: dict[str, Any] = {
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "xl.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 1024, "height": 1024, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a lighthouse", "clip": ["4", 1]}},
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 1, "steps": 20, "cfg": 7.5, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
            "model": ["4", 0], "positive": ["6", 0], "negative": ["6", 0], "latent_image": ["5", 0],
        },
    },
    "9": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "x"}},
}  # fmt: skip


def fingerprint(raw: dict[str, Any]) -> int:
    graph, errors = read_graph(raw)
    assert not errors
    return compute_fingerprint(graph)


def changed(node_id: str, **inputs: Any) -> dict[str, Any]:
    raw = deepcopy(GRAPH)
    raw[node_id]["inputs"] |= inputs
    return raw


@pytest.mark.parametrize(
    "raw",
    [
        changed("3", seed=2**64 - 1),
        changed("3", cfg=1.0),
        changed("3", steps=20.0),
        changed("6", text="a storm"),
        changed("9", filename_prefix="y"),
        changed("5", width=1040),  # less than 2 % more
        dict(reversed(deepcopy(GRAPH).items())),
        {key: {**node, "inputs": dict(reversed(node["inputs"].items()))} for key, node in GRAPH.items()},
        {f"1{key}": {**node, "inputs": {
            name: [f"1{value[0]}", value[1]] if isinstance(value, list) else value
            for name, value in node["inputs"].items()
        }} for key, node in GRAPH.items()},
    ],
    ids=["seed", "cfg", "type", "text", "prefix", "size", "order of nodes", "order of inputs", "ids of nodes"],
)  # fmt: skip
def test_fingerprint_ignores_inputs_that_do_not_affect_the_run_time(raw: dict[str, Any]) -> None:
    assert fingerprint(raw) == fingerprint(GRAPH)


@pytest.mark.parametrize(
    "raw",
    [
        changed("3", steps=40),
        changed("3", denoise=0.5),
        changed("3", sampler_name="dpmpp_2m"),
        changed("4", ckpt_name="flux.safetensors"),
        changed("5", width=512),
        changed("5", batch_size=4),
        changed("3", negative=["5", 0]),
        changed("3", model=["4", 1]),
        {**GRAPH, "10": {"class_type": "PreviewImage", "inputs": {"images": ["3", 0]}}},
        {**GRAPH, "9": {"class_type": "PreviewImage", "inputs": {"images": ["3", 0]}}},
    ],
    ids=["steps", "denoise", "sampler", "model", "size", "batch", "link", "slot", "more nodes", "class"],
)
def test_fingerprint_covers_structure_classes_models_and_sizes(raw: dict[str, Any]) -> None:
    assert fingerprint(raw) != fingerprint(GRAPH)


def test_fingerprint_is_a_signed_64_bit_integer_that_never_changes() -> None:
    assert fingerprint(GRAPH) == -7350473398002890234
    odd = changed("5", width=float(2**200), height=-3, batch_size=0)
    assert -(2**63) <= fingerprint(odd) < 2**63


def test_largest_graphs_have_a_fingerprint() -> None:
    deep: dict[str, Any] = {"0": {"class_type": "A" * 1000, "inputs": {}}}
    for number in range(1, MAX_NODES):
        sources = range(max(number - MAX_LINKS // MAX_NODES, 0), number)
        links: dict[str, Any] = {f"in{source}": [str(source), 0] for source in sources}
        deep[str(number)] = {"class_type": "A" * 1000, "inputs": links | {"name": "x.safetensors"}}
    assert fingerprint(deep) != fingerprint({**deep, "0": {"class_type": "B", "inputs": {}}})
