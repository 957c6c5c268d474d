"""clients/console/openapi.json: the part of the gateway's OpenAPI document that TypeScript types are generated from."""

import json
from pathlib import Path
from typing import Any

from gateway.app import create_app
from gateway.settings import Settings

_LEFT_OUT = {"example", "examples", "headers", "description", "summary"}
_NAMED = {"properties", "schemas", "patternProperties"}  # their keys are names, not keywords


def build_console_openapi() -> str:
    """Return routes, parameters, request bodies and successful responses, without descriptions and examples."""
    settings = Settings.model_validate(
        {
            "database_url": "postgresql+asyncpg://nobody@127.0.0.1:1/none",
            "nats_url": "nats://127.0.0.1:1",
            "secret_key": "never used, since nothing connects",
            "artifacts_url": Path("/tmp").as_uri(),  # noqa: S108 - nothing is read or written
            "console_dir": None,
            "docs_public": True,
        }
    )
    document = create_app(settings).openapi()
    for item in document["paths"].values():
        for operation in item.values():
            if isinstance(operation, dict) and "responses" in operation:
                operation["responses"] = {
                    status: body for status, body in operation["responses"].items() if status.startswith("2")
                }
    return json.dumps(_remove_texts(document), indent=1) + "\n"


def _remove_texts(value: Any, *, names: bool = False) -> Any:
    if isinstance(value, list):
        return [_remove_texts(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _remove_texts(item, names=key in _NAMED) for key, item in value.items() if names or key not in _LEFT_OUT
    }
