"""The JSON Schema of a submission in the OpenAPI document. It accepts more than ``Submission``, its normalized form."""

from typing import Any

from contracts.gateway.submissions import Submission

_COMPONENTS = "#/components/schemas/{model}"
_ABOUT = frozenset({"title", "description", "default"})  # keywords that describe a field, not its values
_MORE = (
    'A bare graph, `{"input": {"workflow": ...}}` and files of ComfyUI\'s editor are accepted, too; '
    "see docs/api/submitting.md. A field that is null counts as not given."
)


def build_submission_schema() -> dict[str, Any]:
    """Return the JSON Schema of the body: every field can be null, and a graph can be in ``prompt`` or be JSON text."""
    schema = Submission.model_json_schema(ref_template=_COMPONENTS)
    fields = schema["properties"]
    for name in ("prompt", "workflow"):
        fields[name]["anyOf"].append({"type": "object" if name == "prompt" else "string"})
    fields["client_id"] = {"type": "string", "title": "Client Id", "description": "of ComfyUI's clients; ignored"}
    fields["labels"]["additionalProperties"] = _make_nullable(fields["labels"]["additionalProperties"])
    schema["properties"] = {name: _make_nullable(field) for name, field in fields.items()}
    schema["description"] = f"{schema.get('description', '')}\n\n{_MORE}"
    return schema


def _make_nullable(field: dict[str, Any]) -> dict[str, Any]:
    """Return the same field, or null."""
    null = {"type": "null"}
    if null in field.get("anyOf", ()):
        return field
    about: dict[str, Any] = {name: says for name, says in field.items() if name in _ABOUT}
    value = {name: says for name, says in field.items() if name not in _ABOUT}
    return {**about, "anyOf": [value, null]}
