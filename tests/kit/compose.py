"""Parses docker-compose.yml and .env.example without Docker."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
EXAMPLE = ROOT / ".env.example"
PLACEHOLDER = "change-me"

VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_]\w*)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\}")
SETTING = re.compile(r"^(?P<comment># ?)?(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)$", re.MULTILINE)


def read_compose() -> dict[str, Any]:
    """Load the file with merge keys resolved and variables unchanged."""
    content: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return content


def read_example() -> dict[str, str]:
    """Return every variable in .env.example with its value, including those commented out."""
    return {found["name"]: found["value"] for found in SETTING.finditer(EXAMPLE.read_text())}


def read_env(path: Path) -> dict[str, str]:
    """Return the variables that a .env file sets."""
    return {found["name"]: found["value"] for found in SETTING.finditer(path.read_text()) if not found["comment"]}


def variables() -> dict[str, str | None]:
    """Return every ``${NAME}`` of the compose file with its default; None for a required one."""
    found = VARIABLE.finditer(COMPOSE.read_text())
    return {one["name"]: one["rest"] if one["kind"] == "-" else None for one in found}


def environment(service: str, env: dict[str, str]) -> dict[str, str]:
    """Return the environment that compose gives a service if the .env file contains ``env``.

    Raises:
        KeyError: a required variable is missing or empty.
    """

    def value(match: re.Match[str]) -> str:
        given = env.get(match["name"], "")
        if not given and match["kind"] == "?":
            raise KeyError(match["name"])
        return given or match["rest"] or ""

    wanted: dict[str, str | None] = read_compose()["services"][service]["environment"]
    passed_on = {name: env[name] for name, text in wanted.items() if text is None and name in env}
    return passed_on | {name: VARIABLE.sub(value, text) for name, text in wanted.items() if text is not None}
