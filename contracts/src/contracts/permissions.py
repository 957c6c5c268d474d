"""The subjects that each login may publish and subscribe to, derived from the registry."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from contracts.executor.progress import PROGRESS
from contracts.gateway.nats_api import NATS_CANCEL_JOB, NATS_READ_JOB, NATS_SUBMIT_JOB
from contracts.registry import CONSUMERS, STREAMS, TOPICS
from contracts.scheduler.jobs import JOB_CHANGED
from contracts.wire.topic import SERVER_TIME_SUBJECT, DurableConsumer, MessageKind, Rpc, Stream, Topic

NATS_API_REQUESTS: dict[str, Topic[Any]] = {
    "jobs.submit": NATS_SUBMIT_JOB,
    "jobs.read": NATS_READ_JOB,
    "jobs.cancel": NATS_CANCEL_JOB,
}
"""Local subject in the account of an external system, and the topic that it is imported from."""

NATS_API_FEEDS: dict[str, Topic[Any]] = {"jobs.event": JOB_CHANGED, "jobs.progress": PROGRESS}
"""Local subject that an external system may subscribe to, and its topic. Its last token is the id of the job."""


@dataclass(frozen=True, slots=True)
class Permissions:
    """NATS permissions of one login. ``may_reply``: whether it may publish replies."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    may_reply: bool


def build_permissions(service: str, node: str | None = None) -> Permissions:
    """Return the permissions of a service's login; those of an executor are restricted to its ``node``."""
    publish = {_build_pattern(topic, service, node) for topic in TOPICS if service in topic.producers}
    subscribe = {
        _build_pattern(topic, service, node)
        for topic in TOPICS
        if service in topic.consumers and topic.kind != MessageKind.EVT
    }
    for stream in STREAMS:
        publish.update(_list_stream_api_subjects(stream, service))
    for consumer in CONSUMERS:
        if consumer.service == service:
            publish.update(_list_consumer_api_subjects(consumer))
    return Permissions(
        publish=tuple(sorted(publish | {SERVER_TIME_SUBJECT})),
        subscribe=tuple(sorted(subscribe | {f"{inbox_prefix(service, node)}.>"})),
        may_reply=any(isinstance(topic, Rpc) and topic.owner == service for topic in TOPICS),
    )


def inbox_prefix(service: str, node: str | None = None) -> str:
    """Return the prefix of a login's reply subjects. No other login may subscribe to them."""
    return f"_INBOX_{service}" + (f"_{node}" if node else "")


def _build_pattern(topic: Topic[Any], service: str, node: str | None) -> str:
    """Return the topic's pattern, restricted to one node if its key is the node and the login is an executor's."""
    if service == "executor" and node and topic.key == "node":
        return topic.pattern.removesuffix("*") + node
    return topic.pattern


def _list_stream_api_subjects(stream: Stream, service: str) -> Iterator[str]:
    """Return the JetStream API subjects that a service needs as owner, reader or direct reader of a stream."""
    if service == stream.owner:
        yield from (f"$JS.API.STREAM.{verb}.{stream.name}" for verb in ("INFO", "CREATE", "UPDATE"))
    if service in stream.direct_readers:
        yield f"$JS.API.DIRECT.GET.{stream.name}.>"


def _list_consumer_api_subjects(consumer: DurableConsumer[Any]) -> Iterator[str]:
    """Return the JetStream API subjects that create, read and acknowledge one durable consumer."""
    path = f"{consumer.stream.name}.{consumer.name}"
    yield from (f"$JS.API.CONSUMER.{verb}.{path}" for verb in ("INFO", "MSG.NEXT", "CREATE", "DURABLE.CREATE"))
    yield f"$JS.API.CONSUMER.CREATE.{path}.>"
    yield f"$JS.ACK.{path}.>"
