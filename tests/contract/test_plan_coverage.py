"""docs/plan-coverage.md names tests that are there, and leaves out nothing that is ours."""

import ast
import importlib
import re
from functools import cache
from pathlib import Path

import pytest

from chassis.settings import UnprefixedEnvSource
from contracts.auth.tiers import Tier
from contracts.registry import DATABASES
from tests.e2e.test_access_matrix import routes

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/plan-coverage.md").read_text()
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
PLAIN = {*UnprefixedEnvSource.NAMES, "upload_dir", "max_upload_size", "comfyui_urls"}
PENDING = "not there yet"


def rows() -> list[str]:
    return [line for line in PAGE.splitlines() if line.startswith("| ") and not re.match(r"\| (---|.* shown by)", line)]


def cells() -> set[str]:
    """Whatever stands between backquotes in a row that a test shows."""
    shown = [row for row in rows() if NAMED.search(row)]
    return {cell for row in shown for cell in re.findall(r"`([^`]+)`", row)}


@cache
def names_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, functions) and node.name.startswith("test_")}


@pytest.mark.parametrize("row", rows())
def test_each_row_names_a_test_that_is_there_or_says_that_it_is_not(row: str) -> None:
    named = NAMED.findall(row)
    assert bool(named) != (PENDING in row), "either a test, or the words that it is not there yet"
    for path, test in named:
        assert test in names_in(path)


@pytest.mark.parametrize("route", sorted(routes()))
def test_each_route_has_a_row(route: str) -> None:
    assert route in cells(), f"say in docs/plan-coverage.md which test shows {route}"


def test_each_tier_has_a_row() -> None:
    assert {tier.value for tier in Tier} <= cells()


def test_each_plain_setting_has_a_row() -> None:
    assert {name.upper() for name in PLAIN} <= cells()


@pytest.mark.parametrize("service", DATABASES)
def test_each_table_has_a_row(service: str) -> None:
    tables = importlib.import_module(f"{service}.store.tables").METADATA.tables
    listed = {cell for row in rows() if row.startswith(f"| {service} |") for cell in re.findall(r"`(\w+)`", row)}
    assert listed == set(tables)
