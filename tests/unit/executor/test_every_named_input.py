"""Every reviewed input that names a file or folder is refused or stays in its folder, whatever form its value has.

With COMFYUI_URL set, the inputs of a real node's catalog are tested too.
"""

import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any
from uuid import uuid4

import pytest

from contracts.catalog import ClassSpec, InputSpec
from contracts.graph_policy.policy import ClassRules, GraphPolicy, TenantPolicy
from contracts.graph_policy.registry import STOCK_CLASSES, InputRole
from contracts.scheduler.attempts import AttemptRef
from contracts.workflow import read_graph
from executor.domain.catalog import NodeClasses, find_classes_with_undeclared_inputs, parse_catalog
from executor.domain.staging import stage_graph

REAL = os.environ.get("COMFYUI_URL")
UPLOAD = str(uuid4())
STAGED = "comfyfleet/0123.png [temp]"
REF = AttemptRef(job_id=uuid4(), tenant_id=uuid4(), attempt=1, lease_token=uuid4())
FOLDER = PurePosixPath(str(REF.job_id), "1")
NAMING = {InputRole.FILE, InputRole.FOLDER, InputRole.MODEL, InputRole.OUTPUT_NAME, InputRole.RECORD}
FORMS: list[Any] = [
    "../../etc/passwd",
    "..\\..\\evil",
    "/etc/passwd",
    "C:\\evil",
    "checkpoints/00-evil",
    "comfyfleet",
    f"{REF.job_id}/1/a.safetensors",
    f"{UPLOAD} [output]",
    "other.png [temp]",
    ".",
    "a\x00b",
    "\ud800",
    ["text", 0],
    ["any", 0],
    0,
    -1.5,
    None,
    True,
    [],
    ["a"],
    {"__value__": UPLOAD},
    {"__value__": "../x"},
    {"__value__": ["text", 0]},
    {"__value__": {"__value__": "../x"}},
    {"image": "../x"},
    {"image": ["text", 0]},
    {"image": {"__value__": "x"}},
]
SOURCES = {
    "text": {"class_type": "PrimitiveString", "inputs": {"value": "../../evil"}},
    "any": {"class_type": "ComfySwitchNode", "inputs": {}},
}


def reviewed() -> dict[str, ClassSpec]:
    """Return every reviewed class with its inputs that have a role."""
    found: dict[str, ClassSpec] = {}
    for name, known in STOCK_CLASSES.items():
        inputs = {
            given: InputSpec(type="COMBO", required=True, options=("installed",))
            if role in {InputRole.FOLDER, InputRole.MODEL}
            else InputSpec(type="STRING", required=True)
            for given, role in known.inputs.items()
            if role in NAMING and "*" not in given and "." not in given
        }
        found[name] = ClassSpec(inputs=inputs, outputs=("STRING",), output_node=True, module=known.module)
    return found


def policies(name: str, spec: ClassSpec) -> Iterator[TenantPolicy]:
    """Return a policy without rules and one in which an operator allowed the class."""
    for mode in GraphPolicy:
        yield TenantPolicy(mode=mode)
        yield TenantPolicy(mode=mode, rules=ClassRules(allowed_classes=(name,)))
    yield TenantPolicy(rules=ClassRules(allowed_packs=(spec.module,)))


def assert_harmless(classes: NodeClasses, name: str, given: str, role: InputRole) -> tuple[int, int]:
    """Return how many forms were refused and how many were rewritten."""
    refused = rewritten = 0
    for policy in policies(name, classes.specs[name]):
        for form in FORMS:
            raw = {**SOURCES, "it": {"class_type": name, "inputs": {given: form}}}
            graph, malformed = read_graph(raw)
            if malformed or classes.rules.find_violations(graph, policy, frozenset({UPLOAD})):
                refused += 1
                continue
            value = stage_graph(raw, REF, {UPLOAD: STAGED}, classes)["it"]["inputs"][given]
            assert role is InputRole.OUTPUT_NAME, (name, given, form, policy)
            assert isinstance(value, str), (name, given, form)
            lands = PurePosixPath(value)
            inside = FOLDER in lands.parents or len(lands.parts) == 1
            assert inside, (name, given, form, value)
            assert ".." not in lands.parts, (name, given, form, value)
            assert not set(value) & {"\\", "\x00", ":", "\ud800"}, (name, given, form, value)
            rewritten += 1
    return refused, rewritten


def assert_all_harmless(classes: NodeClasses) -> tuple[int, int, int]:
    """Return the number of inputs, and how many forms were refused and rewritten."""
    inputs = refused = rewritten = 0
    for name, spec in classes.specs.items():
        for given in spec.inputs:
            role = classes.rules.find_role(name, given)
            if role in NAMING:
                counts = assert_harmless(classes, name, given, role)
                inputs, refused, rewritten = inputs + 1, refused + counts[0], rewritten + counts[1]
    return inputs, refused, rewritten


def with_sources(specs: dict[str, ClassSpec]) -> NodeClasses:
    text = ClassSpec(
        inputs={"value": InputSpec(type="STRING", required=True)},
        outputs=("STRING",),
        output_node=False,
        module="comfy_extras.nodes_primitive",
    )
    switch = ClassSpec(inputs={}, outputs=("COMFY_MATCHTYPE_V3",), output_node=False, module="comfy_extras.nodes_logic")
    return NodeClasses({"PrimitiveString": text, "ComfySwitchNode": switch} | specs)


def test_no_input_of_a_reviewed_class_reaches_outside_of_the_job() -> None:
    specs = {name: spec for name, spec in reviewed().items() if name not in {"PrimitiveString", "ComfySwitchNode"}}
    inputs, refused, rewritten = assert_all_harmless(with_sources(specs))
    assert inputs >= 100
    assert min(refused, rewritten) >= 1000


PACK_INPUTS = [
    "filename_prefix", "output_path", "save_path", "save_prefix", "output_folder", "path", "file", "image_path",
    "video_file", "folder", "directory", "folder_name", "lora_path", "model_file", "ckpt_name", "subfolder",
]  # fmt: skip


@pytest.mark.parametrize("is_output_class", [True, False])
@pytest.mark.parametrize("given", PACK_INPUTS)
def test_no_input_of_a_pack_that_looks_like_a_path_reaches_outside_of_the_job(
    given: str, is_output_class: bool
) -> None:
    spec = ClassSpec(
        inputs={given: InputSpec(type="STRING", required=True)},
        outputs=("STRING",),
        output_node=is_output_class,
        module="custom_nodes.pack",
    )
    classes = with_sources({"Pack": spec})
    role = classes.rules.find_role("Pack", given)
    assert role in NAMING
    if role is not InputRole.MODEL:
        assert_harmless(classes, "Pack", given, role)
    else:
        plain = TenantPolicy(mode=GraphPolicy.OPEN)
        for form in FORMS:
            graph, malformed = read_graph({**SOURCES, "it": {"class_type": "Pack", "inputs": {given: form}}})
            assert malformed or classes.rules.find_violations(graph, plain, frozenset({UPLOAD}))


@pytest.mark.skipif(REAL is None, reason="needs a real ComfyUI: set COMFYUI_URL")
def test_no_input_of_a_real_node_reaches_outside_of_the_job() -> None:
    with urllib.request.urlopen(f"{REAL}/object_info", timeout=60) as answer:  # noqa: S310 - the tester's own node
        described = json.load(answer)
    inputs, refused, rewritten = assert_all_harmless(
        NodeClasses(parse_catalog(described), find_classes_with_undeclared_inputs(described))
    )
    assert inputs >= 50
    assert min(refused, rewritten) >= 1000
