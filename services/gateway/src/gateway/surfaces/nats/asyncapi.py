"""The AsyncAPI document of the NATS API for external systems, from their point of view."""

from typing import Any

from pydantic import BaseModel

from contracts.permissions import NATS_API_FEEDS, NATS_API_REQUESTS
from contracts.wire.topic import Rpc

_SCHEMAS = "#/components/schemas/{model}"


def build_nats_api_document(title: str) -> dict[str, Any]:
    """Return an AsyncAPI 3.0 document, generated from the contracts' registry. Its server receives and sends."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for subject, topic in NATS_API_REQUESTS.items():
        reply_channel = f"{subject}.reply"
        channels[subject] = _describe_channel(subject, topic.description, _describe_message(topic.payload, schemas))
        assert isinstance(topic, Rpc)  # noqa: S101 - these topics are requests
        channels[reply_channel] = _describe_channel(
            None, "the committed decision, or a problem", _describe_message(topic.reply, schemas)
        )
        operations[subject] = _describe_operation("receive", subject) | {
            "reply": {"address": {"location": "$message.header#/reply"}, "channel": _build_channel_ref(reply_channel)}
        }
    for subject, topic in NATS_API_FEEDS.items():
        channels[subject] = _describe_channel(
            f"{subject}.{{job_id}}", topic.description, _describe_message(topic.payload, schemas)
        ) | {"parameters": {"job_id": {"description": "Id of the job, or * for all own jobs."}}}
        operations[subject] = _describe_operation("send", subject)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": title, "version": "1", "description": "NATS API for external systems."},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"schemas": schemas},
    }


def _describe_channel(address: str | None, description: str, message: dict[str, Any]) -> dict[str, Any]:
    return {"address": address, "description": description, "messages": {"message": message}}


def _build_channel_ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/channels/{name}"}


def _describe_operation(action: str, channel: str) -> dict[str, Any]:
    return {
        "action": action,
        "channel": _build_channel_ref(channel),
        "messages": [{"$ref": f"#/channels/{channel}/messages/message"}],
    }


def _describe_message(model: type[BaseModel], schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the AsyncAPI message of a payload model, and add its definitions to ``schemas``."""
    schema = model.model_json_schema(ref_template=_SCHEMAS)
    schemas.update(schema.pop("$defs", {}))
    schemas[model.__name__] = schema
    return {"payload": {"$ref": _SCHEMAS.format(model=model.__name__)}}
