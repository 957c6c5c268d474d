"""Every row of the security checklist is a test that carries its number, or a reason in docs/security.md."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BAD_INPUT = [*range(1, 25), *range(30, 37), *range(60, 67), 80, 81]
SECURITY = [*range(1, 9), *range(20, 27), *range(30, 37), *range(40, 50), *range(50, 60), 84]
ROWS = [f"B-{number}" for number in BAD_INPUT] + [f"S-{number}" for number in SECURITY]

NAMED = re.compile(r"(?<![a-z0-9])([bs])_(\d+)(?![0-9])")
LINE = re.compile(r"^\| ([BS]-\d+) \| (\S.*) \|$")


@cache
def _tested() -> dict[str, set[str]]:
    """Rows by number, with the tests whose names carry it."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for name in _test_names(path):
            for letter, number in NAMED.findall(name):
                found.setdefault(f"{letter.upper()}-{number}", set()).add(f"{path.relative_to(ROOT)}::{name}")
    return found


def _explained() -> dict[str, str]:
    """Rows that docs/security.md gives a reason for."""
    lines = (ROOT / "docs/security.md").read_text().splitlines()
    return {match[1]: match[2] for line in lines if (match := LINE.match(line))}


@pytest.mark.parametrize("row", ROWS)
def test_each_security_row_has_a_test_or_a_reason(row: str) -> None:
    assert (row in _tested()) != (row in _explained()), "either a test or a reason, not both and not neither"


def test_no_reason_is_given_for_an_unknown_row() -> None:
    assert _explained().keys() <= set(ROWS)


def _test_names(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.name
