"""Parses command line values."""

import json
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import typer

_DURATION = re.compile(r"(\d{1,6})([mhd])", re.ASCII)
_SECONDS = {"m": 60, "h": 3600, "d": 86_400}


def parse_pairs(texts: Iterable[str], *, what: str) -> dict[str, str]:
    """Parse ``name=value`` pairs. Raises BadParameter."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"{what} is NAME=VALUE, not {text!r}.")
        found[name] = value
    return found


def parse_values(texts: Iterable[str]) -> dict[str, Any]:
    """Parse ``name=value`` pairs, with values as JSON if valid (``steps=20``, ``seed=null``), else as text."""
    return {name: _parse_value(text) for name, text in parse_pairs(texts, what="A parameter").items()}


def load_workflow(file: str) -> dict[str, Any]:
    """Read a graph from a file, "-" for stdin. Raises BadParameter."""
    try:
        graph = json.loads(sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}.") from None
    except (ValueError, RecursionError):
        raise typer.BadParameter(f"{file} is not JSON.") from None
    if not isinstance(graph, dict):
        raise typer.BadParameter(f"{file} is not a workflow: it is not a JSON object.")
    return graph


def parse_time(text: str) -> datetime:
    """Parse a duration before now (30m, 24h, 7d), or a date or time, local unless it names a zone.

    Raises:
        typer.BadParameter: it is none of these.
    """
    if duration := _DURATION.fullmatch(text):
        return datetime.now(UTC) - timedelta(seconds=int(duration[1]) * _SECONDS[duration[2]])
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError, OSError):
        raise typer.BadParameter(f"{text!r} is not a duration such as 30m, 24h or 7d, a date or a time.") from None


def _parse_value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=lambda _: text)
    except (ValueError, RecursionError):
        return text
