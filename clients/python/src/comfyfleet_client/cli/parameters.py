"""Reads what the command line gives as text."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer


def pairs(texts: Iterable[str], *, what: str) -> dict[str, str]:
    """``name=value`` each. Raises BadParameter."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"{what} is NAME=VALUE, not {text!r}.")
        found[name] = value
    return found


def values(texts: Iterable[str]) -> dict[str, Any]:
    """``name=value`` each, the value as JSON where it is some (``steps=20``, ``seed=null``), else as text."""
    return {name: _value(text) for name, text in pairs(texts, what="A parameter").items()}


def workflow(file: str) -> dict[str, Any]:
    """The graph in a file, "-" for stdin. Raises BadParameter."""
    try:
        graph = json.loads(sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}.") from None
    except (ValueError, RecursionError):
        raise typer.BadParameter(f"{file} is no JSON.") from None
    if not isinstance(graph, dict):
        raise typer.BadParameter(f"{file} holds no workflow: it is no JSON object.")
    return graph


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=lambda _: text)
    except (ValueError, RecursionError):
        return text
