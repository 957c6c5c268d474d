"""JSON Schema (2020-12) of every message. A diff of these files shows a contract change in review."""

import json

from contracts.registry import TOPICS
from contracts.wire.topic import Rpc


def build_schemas() -> dict[str, str]:
    """Return schemas by file name: ``<topic>.json``, and ``<topic>.reply.json`` for replies."""
    schemas = {}
    for topic in TOPICS:
        schemas[f"{topic.name}.json"] = _dump_schema(topic.payload.model_json_schema())
        if isinstance(topic, Rpc):
            schemas[f"{topic.name}.reply.json"] = _dump_schema(topic.reply.model_json_schema(mode="serialization"))
    return schemas


def _dump_schema(schema: dict[str, object]) -> str:
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"
