"""contracts/asyncapi.json: the AsyncAPI 3 document of all NATS messages, rendered by FastStream."""

import json
from typing import Any

from faststream.nats import JStream, NatsBroker
from faststream.specification import AsyncAPI

from contracts.registry import CONSUMERS, TOPICS
from contracts.wire.topic import Rpc, Topic


def build_asyncapi() -> str:
    """Return the document as JSON. Requests are received by their owner; events are sent by their producers."""
    broker = NatsBroker(logger=None)
    for topic in sorted(TOPICS, key=lambda topic: topic.name):
        if isinstance(topic, Rpc):
            broker.subscriber(topic.pattern, title=topic.name, description=topic.description)(_build_handler(topic))
        else:
            broker.publisher(topic.pattern, title=topic.name, description=topic.description, schema=topic.payload)
    for consumer in CONSUMERS:
        name = f"{consumer.topic.name}:{consumer.name}"
        stream = JStream(consumer.stream.name, declare=False)
        broker.subscriber(consumer.topic.pattern, stream=stream, durable=consumer.name, pull_sub=True, title=name)(
            _build_handler(consumer.topic)
        )
    specification = AsyncAPI(broker, title="comfyfleet", version="1", schema_version="3.0.0")
    document: dict[str, Any] = json.loads(specification.to_specification().to_json())
    document.pop("servers", None)
    for channel in document["channels"].values():
        channel.pop("servers", None)
    for topic in TOPICS:
        if isinstance(topic, Rpc):
            _add_reply(document, topic)
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def _build_handler(topic: Topic[Any]) -> Any:
    async def handle(message: Any) -> None:
        """Never called: FastStream only reads its signature."""

    handle.__annotations__ = {"message": topic.payload, "return": None}
    handle.__doc__ = topic.description
    return handle


def _add_reply(document: dict[str, Any], topic: Rpc[Any, Any]) -> None:
    """Add the reply, which FastStream omits. It goes to the inbox of the request."""
    schema = topic.reply.model_json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
    document["components"]["schemas"].update(schema.pop("$defs", {}))
    document["components"]["schemas"][topic.reply.__name__] = schema
    message = f"{topic.name}:Reply"
    payload = {"$ref": f"#/components/schemas/{topic.reply.__name__}"}
    document["components"]["messages"][message] = {"title": message, "payload": payload}
    inbox = f"{topic.name}.reply"
    document["channels"][inbox] = {
        "address": None,
        "messages": {"Reply": {"$ref": f"#/components/messages/{message}"}},
    }
    document["operations"][topic.name]["reply"] = {
        "address": {"location": "$message.header#/reply"},
        "channel": {"$ref": f"#/channels/{inbox}"},
    }
