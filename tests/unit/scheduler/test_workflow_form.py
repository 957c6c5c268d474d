"""The description of a workflow's inputs for a form."""

from datetime import UTC, datetime
from typing import Any

import pytest

from contracts.scheduler.submissions import EmptyFleet, InvalidWorkflow
from contracts.scheduler.workflow_forms import FormInput, WorkflowForm
from scheduler.domain.workflow_form import MAX_OPTIONS, describe_workflow
from tests.kit.catalogs import build_catalog, simulated_catalog

NOW = datetime(2026, 11, 29, tzinfo=UTC)
GRAPH: dict[str, Any] = {
    "5": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a.safetensors"}},
    "7": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "model": ["5", 0], "positive": ["6", 0], "negative": ["8", 0], "latent_image": ["7", 0], "seed": 7,
            "steps": 20, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
        },
    },
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["5", 1]}, "_meta": {"title": "Cat"}},
    "8": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["5", 1]}},
    "1": {"class_type": "LoadImage", "inputs": {"image": "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee"}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
}  # fmt: skip


def describe(graph: dict[str, Any], *checkpoints: str) -> WorkflowForm:
    return describe_workflow(graph, [simulated_catalog(*checkpoints)], now=NOW)


def by_input(form: WorkflowForm) -> dict[str, FormInput]:
    return {f"{one.node_id}.{one.input}": one for one in form.inputs}


def test_literal_inputs_are_described_with_prompts_and_files_first() -> None:
    form = describe(GRAPH)
    assert [f"{one.node_id}.{one.input}" for one in form.inputs] == [
        "1.image", "6.text", "8.text", "3.seed", "3.steps", "3.cfg", "7.width", "7.height", "7.batch_size", "3.denoise",
        "5.ckpt_name", "3.sampler_name", "3.scheduler", "9.filename_prefix",
    ]  # fmt: skip
    assert [one.advanced for one in form.inputs] == [False] * 13 + [True]
    found = by_input(form)
    positive, negative, seed, image = (found[name] for name in ("6.text", "8.text", "3.seed", "1.image"))
    assert (positive.title, positive.format, positive.node_title) == ("Positive prompt", "multiline", "Cat")
    assert negative.title == "Negative prompt"
    assert (seed.type, seed.format, seed.minimum, seed.maximum, seed.value) == ("integer", "seed", 0, 2**64 - 1, 7)
    assert (image.format, image.options, image.default) == ("image-upload", None, None)
    assert "euler" in (found["3.sampler_name"].options or ())
    assert [(one.node_id, one.node_class) for one in form.outputs] == [("9", "SaveImage")]
    assert (form.graph, form.warnings) == (None, ())


def test_options_are_those_of_all_nodes_up_to_a_bound() -> None:
    many = [f"m{number:03}.safetensors" for number in range(MAX_OPTIONS)]
    graph = {"5": GRAPH["5"]}
    one, other = simulated_catalog("a.safetensors"), simulated_catalog(*many)
    (found,) = describe_workflow(graph, [one, other], now=NOW).inputs
    assert (found.options, found.options_total) == (("a.safetensors", *many[:-1]), MAX_OPTIONS + 1)


def test_names_of_folders_on_a_node_are_not_options() -> None:
    loader = {
        "input": {"required": {"folder": [["private", "secret"], {}]}}, "output": ["IMAGE"], "output_node": False,
        "python_module": "custom_nodes.folders",
    }  # fmt: skip
    graph = {"1": {"class_type": "LoadFolder", "inputs": {"folder": "private"}}}
    (found,) = describe_workflow(graph, [build_catalog({"LoadFolder": loader})], now=NOW).inputs
    assert (found.options, found.options_total) == (None, 0)


def test_unknown_classes_and_values_are_warnings() -> None:
    graph = {
        "1": {"class_type": "NoSuchClass", "inputs": {"text": "a", "strength": 0.5, "on": True}},
        "5": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "missing.safetensors"}},
    }
    form = describe(graph)
    types = {one.input: one.type for one in form.inputs}
    assert types == {"text": "string", "strength": "number", "on": "boolean", "ckpt_name": "string"}
    told = [(one.code, one.node_id) for one in form.warnings]
    assert told == [("unknown_class", "1"), ("not_an_option", "5")]


def test_editor_file_is_converted_before_its_inputs_are_described() -> None:
    node = {
        "id": 4, "type": "EmptyLatentImage", "inputs": [], "outputs": [], "mode": 0, "properties": {},
        "widgets_values": [640, 512, 2],
    }  # fmt: skip
    form = describe({"nodes": [node], "links": [], "version": 0.4})
    assert form.graph == {
        "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 640, "height": 512, "batch_size": 2}}
    }
    assert [(one.input, one.value) for one in form.inputs] == [("width", 640), ("height", 512), ("batch_size", 2)]


def test_text_that_is_not_a_graph_is_refused() -> None:
    with pytest.raises(InvalidWorkflow):
        describe({"1": {"inputs": {}}})
    with pytest.raises(InvalidWorkflow):
        describe({"nodes": [], "links": [], "version": 0.4})
    with pytest.raises(EmptyFleet):
        describe_workflow(GRAPH, [], now=NOW)
