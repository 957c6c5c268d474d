"""The JSON Schema of a submission in the OpenAPI document. It accepts more than ``Submission``, its normalized form."""

from typing import Any

from contracts.gateway.submissions import Submission

_COMPONENTS = "#/components/schemas/{model}"
_ANNOTATIONS = frozenset({"title", "description", "default"})  # keywords that describe a field, not its values
_OTHER_FORMATS = (
    'A bare graph, `{"input": {"workflow": ...}}` and files of ComfyUI\'s editor are accepted, too; '
    "see docs/api/submitting.md. A field that is null counts as omitted."
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
    schema["description"] = f"{schema.get('description', '')}\n\n{_OTHER_FORMATS}"
    return schema


def _make_nullable(field: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of the field, extended to permit null."""
    null = {"type": "null"}
    if null in field.get("anyOf", ()):
        return field
    annotations: dict[str, Any] = {name: text for name, text in field.items() if name in _ANNOTATIONS}
    value = {name: keyword for name, keyword in field.items() if name not in _ANNOTATIONS}
    return {**annotations, "anyOf": [value, null]}
