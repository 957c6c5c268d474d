"""Completes the OpenAPI document that FastAPI generates: request bodies, schemas, response headers and examples."""

from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel

from gateway.api.v1.examples import build_example, complete_example
from gateway.api.v1.problems import Problem
from gateway.api.v1.response_headers import RESPONSE_HEADERS, list_header_names

JSON = "application/json"
_COMPONENTS = "#/components/schemas/{model}"


def describe_request_body(
    model: type[BaseModel] | dict[str, Any], *more: str, required: bool = True, **example: Any
) -> dict[str, Any]:
    """Return the ``openapi_extra`` of a route that reads its body itself.

    Args:
        model: the shape of the body, or its JSON Schema.
        more: accepted media types besides JSON.
        required: whether a request needs a body.
        example: ``example`` or ``examples``, as in OpenAPI.
    """
    schema = model if isinstance(model, dict) else deepcopy(_generate_schema(model))
    described = {"schema": schema, **example}
    return {"requestBody": {"required": required, "content": {media: dict(described) for media in (JSON, *more)}}}


@cache
def _generate_schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(ref_template=_COMPONENTS)


def complete_document(app: FastAPI) -> None:
    """Complete the document of an application that has all its routes.

    Operations are named after their functions. Every referenced schema, the headers of each response and an example of
    each JSON body are added.
    """
    for route in app.routes:
        if isinstance(route, APIRoute):
            route.operation_id = route.operation_id or route.name
    make = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        document = make()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        described = Problem.model_json_schema(ref_template=_COMPONENTS)
        schemas["Problem"] = described
        for schema in (described, *_iterate_request_bodies(document)):
            schemas.update(schema.pop("$defs", {}))
        _complete_responses(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _iterate_request_bodies(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for operations in document.get("paths", {}).values():
        for operation in operations.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                yield content["schema"]


def _complete_responses(document: dict[str, Any]) -> None:
    components = document["components"]
    schemas = components["schemas"]
    components["headers"] = {
        name: {"description": description, "schema": {"type": type_}}
        for name, (type_, description) in RESPONSE_HEADERS.items()
    }
    for schema in schemas.values():
        if "examples" in schema:
            schema["examples"] = [complete_example(example, schema, schemas) for example in schema["examples"]]
    for path, status, response in _iterate_responses(document):
        for name in list_header_names(path, status):
            response.setdefault("headers", {}).setdefault(name, {"$ref": f"#/components/headers/{name}"})
        content = response.get("content", {}).get(JSON)
        if content is not None and not {"example", "examples"} & content.keys():
            content["example"] = build_example(content["schema"], schemas)


def _iterate_responses(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                yield path, status, response
