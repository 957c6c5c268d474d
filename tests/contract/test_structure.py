"""Structure rules that lint and import contracts cannot express."""

import ast
import importlib
import re
from pathlib import Path

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
DOMAIN_NOUNS = re.compile(r"\b\w*(job|attempt|lease|tenant_id|prompt|workflow|artifact|comfy)\w*\b", re.IGNORECASE)


def test_module_names_are_specific() -> None:
    assert [path for path in SOURCES if path.stem in FORBIDDEN_NAMES] == []


def test_import_names_resolve_to_this_checkout() -> None:
    for name in ("contracts", "chassis", "authn", *SERVICES):
        found = importlib.import_module(name).__file__
        assert found is not None
        assert Path(found).is_relative_to(ROOT)


@pytest.mark.parametrize("service", SERVICES)
def test_service_has_the_files_that_each_service_has(service: str) -> None:
    package = ROOT / "services" / service / "src" / service
    for name in ("__init__.py", "__main__.py", "app.py", "settings.py"):
        assert (package / name).exists(), name
    assert (ROOT / "services" / service / "README.md").exists()


# Exception: purges and erasures find dead letters by the ids in their subjects.
ALLOWED_IN_CHASSIS = {"dead_letters.py": {"tenant_id", "job_id", "attempts"}}


def test_chassis_names_no_domain_concept() -> None:
    for path in CHASSIS.rglob("*.py"):
        allowed = ALLOWED_IN_CHASSIS.get(path.name, set())
        names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
        names |= {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}
        assert not [name for name in names if DOMAIN_NOUNS.fullmatch(name) and name not in allowed], path.name
