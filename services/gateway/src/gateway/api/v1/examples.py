"""An example of what a JSON Schema describes, put together from the examples that its parts have."""

from collections.abc import Mapping
from typing import Any

_FORMATS = {
    "uuid": "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee",
    "date-time": "2026-11-23T09:00:00Z",
    "date": "2026-11-23",
    "email": "ada@example.com",
}
_OF_TYPE: dict[str, Any] = {"string": "text", "number": 1.5, "boolean": True, "null": None}


def example_of(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """A value that the schema allows.

    Args:
        schema: of pydantic's making.
        schemas: those that it may refer to, by name.
    """
    for given in ("const", "default"):
        if schema.get(given) is not None:
            return schema[given]
    if schema.get("examples"):
        return whole(schema["examples"][0], schema, schemas)
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].rsplit("/", 1)[1]], schemas)
    if "anyOf" in schema:
        return example_of(schema["anyOf"][0], schemas)
    return _of_type(schema, schemas)


def whole(example: Any, schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """The example with the fields that it has to have: FastAPI takes out of a document what is null in it."""
    if "$ref" in schema:
        return whole(example, schemas[schema["$ref"].rsplit("/", 1)[1]], schemas)
    if isinstance(example, list):
        return [whole(item, schema.get("items", {}), schemas) for item in example]
    if not isinstance(example, dict):
        return example
    parts, others = schema.get("properties", {}), schema.get("additionalProperties")
    missing = {name: _absent(parts[name], schemas) for name in schema.get("required", ()) if name not in example}
    other = others if isinstance(others, dict) else {}
    return {name: whole(value, parts.get(name, other), schemas) for name, value in (example | missing).items()}


def _absent(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """What stands for a field that an example leaves out: null, if it may be that."""
    return None if {"type": "null"} in schema.get("anyOf", ()) else example_of(schema, schemas)


def _of_type(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {name: example_of(part, schemas) for name, part in schema.get("properties", {}).items()}
        case "array":
            return [example_of(schema["items"], schemas)] if "items" in schema else []
        case "integer":
            return schema.get("minimum", 1)
        case type_:
            return _FORMATS.get(schema.get("format", ""), _OF_TYPE.get(type_ or ""))
