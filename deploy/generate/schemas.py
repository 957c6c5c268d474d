"""JSON Schema (2020-12) of every message: the diff of these files is the review of a contract change."""

import json

from contracts.registry import TOPICS
from contracts.wire.topic import Rpc


def schemas() -> dict[str, str]:
    """File name to schema: ``<topic>.json``, and ``<topic>.reply.json`` for what is answered."""
    found = {}
    for topic in TOPICS:
        found[f"{topic.name}.json"] = _dump(topic.payload.model_json_schema())
        if isinstance(topic, Rpc):
            found[f"{topic.name}.reply.json"] = _dump(topic.reply.model_json_schema(mode="serialization"))
    return found


def _dump(schema: dict[str, object]) -> str:
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"
