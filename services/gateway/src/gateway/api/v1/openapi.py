"""What FastAPI cannot say of us in the OpenAPI document: bodies that we read ourselves, and problems."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from gateway.api.v1.openapi_answers import tell_answers
from gateway.api.v1.problems import Problem

JSON = "application/json"
_COMPONENTS = "#/components/schemas/{model}"


def documented(model: type[BaseModel] | dict[str, Any], *more: str, **example: Any) -> dict[str, Any]:
    """What the document says of a body of this shape, for ``openapi_extra``.

    Args:
        model: the shape, or its JSON Schema.
        more: media types that it may have besides JSON.
        example: ``example`` or ``examples``, as OpenAPI has them.
    """
    schema = model if isinstance(model, dict) else model.model_json_schema(ref_template=_COMPONENTS)
    described = {"schema": schema, **example}
    return {"requestBody": {"required": True, "content": {media: dict(described) for media in (JSON, *more)}}}


def complete(app: FastAPI) -> None:
    """Have the document hold every schema that something in it refers to, and say of each answer what it carries."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        document = make()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        described = Problem.model_json_schema(ref_template=_COMPONENTS)
        schemas["Problem"] = described
        for schema in (described, *_bodies(document)):
            schemas.update(schema.pop("$defs", {}))
        tell_answers(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _bodies(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for operations in document.get("paths", {}).values():
        for operation in operations.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                yield content["schema"]
