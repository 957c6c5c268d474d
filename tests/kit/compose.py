"""docker-compose.yml and .env.example as a test reads them, where there is no Docker."""

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
    """The file with its merge keys resolved, variables as they stand."""
    content: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return content


def read_example() -> dict[str, str]:
    """Every name of .env.example with its value, commented or not."""
    return {found["name"]: found["value"] for found in SETTING.finditer(EXAMPLE.read_text())}


def read_env(path: Path) -> dict[str, str]:
    """What a .env file sets."""
    return {found["name"]: found["value"] for found in SETTING.finditer(path.read_text()) if not found["comment"]}


def variables() -> dict[str, str | None]:
    """Every ``${NAME}`` of the compose file with its default; None for one that must be given."""
    found = VARIABLE.finditer(COMPOSE.read_text())
    return {one["name"]: one["rest"] if one["kind"] == "-" else None for one in found}


def environment(service: str, env: dict[str, str]) -> dict[str, str]:
    """What compose puts into a service's environment with ``env`` as its .env.

    Raises:
        KeyError: one that must be given is missing or empty.
    """

    def value(match: re.Match[str]) -> str:
        given = env.get(match["name"], "")
        if not given and match["kind"] == "?":
            raise KeyError(match["name"])
        return given or match["rest"] or ""

    wanted: dict[str, str | None] = read_compose()["services"][service]["environment"]
    passed_on = {name: env[name] for name, text in wanted.items() if text is None and name in env}
    return passed_on | {name: VARIABLE.sub(value, text) for name, text in wanted.items() if text is not None}
