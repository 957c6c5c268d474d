"""Builds an example of a JSON Schema from the examples of its parts."""

from collections.abc import Mapping
from typing import Any

_FORMATS = {
    "uuid": "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee",
    "date-time": "2026-11-23T09:00:00Z",
    "date": "2026-11-23",
    "email": "ada@example.com",
}
_VALUE_BY_TYPE: dict[str, Any] = {"string": "text", "number": 1.5, "boolean": True, "null": None}


def build_example(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """Return a value that the schema permits.

    Args:
        schema: JSON Schema that pydantic generated.
        schemas: the schemas that it can refer to, by name.
    """
    for given in ("const", "default"):
        if schema.get(given) is not None:
            return schema[given]
    if schema.get("examples"):
        return complete_example(schema["examples"][0], schema, schemas)
    if "$ref" in schema:
        return build_example(schemas[schema["$ref"].rsplit("/", 1)[1]], schemas)
    if "anyOf" in schema:
        return build_example(schema["anyOf"][0], schemas)
    return _build_example_of_type(schema, schemas)


def complete_example(example: Any, schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """Return the example with all its required fields: FastAPI removes null values from a document."""
    if "$ref" in schema:
        return complete_example(example, schemas[schema["$ref"].rsplit("/", 1)[1]], schemas)
    if isinstance(example, list):
        return [complete_example(item, schema.get("items", {}), schemas) for item in example]
    if not isinstance(example, dict):
        return example
    parts, others = schema.get("properties", {}), schema.get("additionalProperties")
    missing = {
        name: _build_field_default(parts[name], schemas) for name in schema.get("required", ()) if name not in example
    }
    other = others if isinstance(others, dict) else {}
    return {
        name: complete_example(value, parts.get(name, other), schemas) for name, value in (example | missing).items()
    }


def _build_field_default(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """Return the value of a field that an example leaves out: null where permitted."""
    return None if {"type": "null"} in schema.get("anyOf", ()) else build_example(schema, schemas)


def _build_example_of_type(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {name: build_example(part, schemas) for name, part in schema.get("properties", {}).items()}
        case "array":
            return [build_example(schema["items"], schemas)] if "items" in schema else []
        case "integer":
            return schema.get("minimum", 1)
        case type_:
            return _FORMATS.get(schema.get("format", ""), _VALUE_BY_TYPE.get(type_ or ""))
