"""The shape of the house: what style and lint cannot see."""

import ast
import importlib
import re
from pathlib import Path

import grimp
import pytest

from contracts.registry import SERVICES

ROOT = Path(__file__).parents[2]
CHASSIS = ROOT / "services/_chassis/src/chassis"
SOURCES = sorted(
    path
    for folder in ("clients", "contracts/src", "services", "deploy")
    for path in (ROOT / folder).rglob("*.py")
    if "versions" not in path.parts
)
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc", "base", "types", "core", "manager", "shared"}
OUR_NOUNS = re.compile(r"\b\w*(job|attempt|lease|tenant_id|prompt|workflow|artifact|comfy)\w*\b", re.IGNORECASE)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_is_named_by_its_job(path: Path) -> None:
    assert path.stem not in FORBIDDEN_NAMES


def test_each_import_name_is_ours() -> None:
    for name in ("contracts", "chassis", "authn", *SERVICES):
        found = importlib.import_module(name).__file__
        assert found is not None
        assert Path(found).is_relative_to(ROOT)


@pytest.mark.parametrize("service", SERVICES)
def test_services_have_the_same_anatomy(service: str) -> None:
    package = ROOT / "services" / service / "src" / service
    for name in ("__init__.py", "__main__.py", "app.py", "settings.py", "domain", "usecases"):
        assert (package / name).exists(), name
    assert (ROOT / "services" / service / "README.md").exists()


def test_the_chassis_knows_none_of_our_nouns() -> None:
    for path in CHASSIS.glob("*.py"):
        names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
        names |= {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}
        assert not [name for name in names if OUR_NOUNS.fullmatch(name)], path.name


WAITING = {
    "outbox": "how a transaction says something for certain; so far only the scheduler must",
    "streams": "the scheduler declares, the notifier reads, the gateway peeks; nobody else has a stream",
    "statement": "for paths that every job takes; decision record 0008",
}


def test_what_the_chassis_has_is_used_by_three_services() -> None:
    graph = grimp.build_graph("chassis", *SERVICES)
    for module in graph.find_descendants("chassis"):
        users = {name.split(".")[0] for name in graph.find_downstream_modules(module)} - {"chassis"}
        assert len(users) >= 3 or module.removeprefix("chassis.") in WAITING, (module, users)
