"""No catalog has an unreviewed stock class, or an unreviewed path-like input of one."""

import json
import os
from typing import Any

import aiohttp
import pytest

from contracts.graph_policy.input_roles import find_role_by_pattern
from contracts.graph_policy.registry import STOCK_CLASSES, is_stock_module, is_unreviewed
from executor.domain.catalog import parse_catalog
from tests.contract.simnode.driver import running_driver

REAL = os.environ.get("COMFYUI_URL")
HOW_TO_REVIEW = (
    "Review each in its source and add it to contracts/src/contracts/graph_policy/stock_classes.json: "
    "docs/operations/graph-policy.md, 'Review a new class'."
)


def unreviewed(object_info: dict[str, Any]) -> list[str]:
    """Return what needs a review: class names, and "class.input" for inputs that look like a path."""
    found = []
    for name, spec in parse_catalog(object_info).items():
        module = str(object_info[name].get("python_module"))
        if is_unreviewed(name, module):
            found.append(f"{name} ({module})")
        elif is_stock_module(module):
            reviewed = STOCK_CLASSES[name]
            found.extend(
                f"{name}.{given} ({role})"
                for given, described in spec.inputs.items()
                if (role := find_role_by_pattern(given, described, output_node=spec.output_node)) is not None
                and reviewed.find_role(given) is None
                and given not in reviewed.plain
            )
    return sorted(found)


async def test_every_stock_class_of_a_simulated_node_is_reviewed(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with running_driver(tmp_path_factory.mktemp("catalog")) as driver:
        object_info = await driver.get("/object_info")
    assert sum(is_stock_module(described["python_module"]) for described in object_info.values()) >= 20
    assert not unreviewed(object_info), HOW_TO_REVIEW


async def test_classes_that_only_a_simulated_node_has_are_custom(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with running_driver(tmp_path_factory.mktemp("catalog")) as driver:
        object_info = await driver.get("/object_info")
    custom = {name for name, described in object_info.items() if not is_stock_module(described["python_module"])}
    assert custom == {name for name in object_info if name.startswith("Sim")}
    assert custom


@pytest.mark.skipif(REAL is None, reason="needs a real ComfyUI: set COMFYUI_URL")
async def test_every_stock_class_of_a_real_node_is_reviewed() -> None:
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(timeout=timeout) as http, http.get(f"{REAL}/object_info") as answer:
        object_info = json.loads(await answer.read())
    assert len(object_info) >= 400
    assert not unreviewed(object_info), HOW_TO_REVIEW


def test_unreviewed_stock_classes_and_inputs_are_listed() -> None:
    stock = {"python_module": "nodes", "output": [], "output_node": True}
    object_info = {
        "Telepathy": {**stock, "input": {"required": {}}},
        "SaveImage": {**stock, "input": {"required": {"filename_prefix": ["STRING"], "save_folder": ["STRING"]}}},
        "Pack": {**stock, "python_module": "custom_nodes.pack", "input": {"required": {"path": ["STRING"]}}},
    }
    assert unreviewed(object_info) == ["SaveImage.save_folder (output_name)", "Telepathy (nodes)"]
