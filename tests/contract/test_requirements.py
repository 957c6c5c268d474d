"""Every requirement has a test or a reason why not, and the whole public API is covered by requirements."""

import importlib
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from chassis.settings import UnprefixedEnvSource
from contracts.auth.tiers import Tier
from contracts.registry import DATABASES, STREAMS
from generate.requirements import find_marked_tests
from tests.e2e.test_access_matrix import routes

ROOT = Path(__file__).parents[2]
SECTIONS = tomllib.loads((ROOT / "tests/requirements.toml").read_text())["section"]
RETENTION = {
    found[1]
    for found in re.finditer(r"^\| `([\w.]+)`", (ROOT / "docs/operations/retention.md").read_text(), re.MULTILINE)
}
ROWS: dict[str, Any] = {id_: row for section in SECTIONS for id_, row in section["rows"].items()}
PLAIN_SETTINGS = {*UnprefixedEnvSource.NAMES, "upload_dir", "max_upload_size", "comfyui_urls"}


def test_each_requirement_has_a_test_or_a_reason() -> None:
    tests = find_marked_tests(ROOT)
    untested = {id_ for id_, row in ROWS.items() if not isinstance(row, str)}
    assert ROWS.keys() - tests.keys() == untested


def test_each_marker_names_a_requirement() -> None:
    assert find_marked_tests(ROOT).keys() <= ROWS.keys()


def test_no_requirement_is_listed_twice() -> None:
    assert len(ROWS) == sum(len(section["rows"]) for section in SECTIONS)


@pytest.mark.parametrize("route", sorted(routes()))
def test_each_route_has_a_requirement(route: str) -> None:
    assert route in ROWS, f"add {route} to tests/requirements.toml and mark a test with it"


def test_each_tier_and_setting_without_a_prefix_has_a_requirement() -> None:
    names = {f"tier {tier.value}" for tier in Tier} | {f"setting {name.upper()}" for name in PLAIN_SETTINGS}
    assert names <= ROWS.keys()


@pytest.mark.parametrize("service", DATABASES)
def test_each_table_has_a_requirement_and_a_documented_retention(service: str) -> None:
    tables = importlib.import_module(f"{service}.store.tables").METADATA.tables
    assert {id_ for id_ in ROWS if id_.startswith(f"table {service}.")} == {
        f"table {service}.{name}" for name in tables
    }
    assert {name for name in RETENTION if name.startswith(f"{service}.")} == {f"{service}.{name}" for name in tables}


def test_each_stream_has_a_documented_retention() -> None:
    assert {name for name in RETENTION if name.isupper()} == {stream.name for stream in STREAMS}
