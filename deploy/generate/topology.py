"""docs/topology.md: subjects, streams and consumers."""

from collections import defaultdict

from contracts.permissions import NATS_API_FEEDS, NATS_API_REQUESTS
from contracts.registry import CONSUMERS, STREAMS, TOPICS
from contracts.wire.topic import Rpc

HEAD = """\
# Subjects and streams

Generated from `contracts.registry` by `./dev generate`. Subjects are
`<kind>.<owner>.<noun>.<verb>.v<N>.<tenant>[.<key>]`; the tenant token is `_` where no tenant is concerned.
"""


def build_topology_page() -> str:
    """Return the page: a diagram, the subjects, the streams, the NATS interface."""
    return "\n".join(
        [
            HEAD,
            *_render_diagram(),
            *_render_subjects(),
            *_render_streams(),
            *_render_consumers(),
            *_render_external_systems(),
        ]
    )


def _render_diagram() -> list[str]:
    labels: dict[tuple[str, str], list[str]] = defaultdict(list)
    for topic in TOPICS:
        for producer in topic.producers:
            for consumer in topic.consumers:
                labels[producer, consumer].append(f"{topic.noun}.{topic.verb}")
    arrows = [f'    {a} -->|"{"<br>".join(topics)}"| {b}' for (a, b), topics in sorted(labels.items()) if a != b]
    return ["```mermaid", "flowchart LR", *arrows, "```", ""]


def _render_subjects() -> list[str]:
    rows = [
        f"| `{topic.pattern}` | {topic.description} | {', '.join(topic.producers)} | {', '.join(topic.consumers)} "
        f"| `{topic.payload.__name__}`{f' → `{topic.reply.__name__}`' if isinstance(topic, Rpc) else ''} |"
        for topic in sorted(TOPICS, key=lambda topic: topic.name)
    ]
    return ["| subject | meaning | from | to | payload |", "| --- | --- | --- | --- | --- |", *rows, ""]


def _render_streams() -> list[str]:
    rows = [
        f"| `{stream.name}` | {stream.owner} | {', '.join(f'`{subject}`' for subject in stream.subjects)} "
        f"| {'memory' if stream.in_memory else 'file'} | {stream.max_age_s / 3600:g} h "
        f"| {stream.max_bytes >> 20} MiB "
        f"| {', '.join(stream.direct_readers)} |"
        for stream in STREAMS
    ]
    return [
        "## Streams",
        "",
        "| stream | declared by | stores | where | kept at most | largest size | read directly by |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *rows,
        "",
    ]


def _render_consumers() -> list[str]:
    rows = [
        f"| `{consumer.name}` | `{consumer.stream.name}` | {consumer.service} | `{consumer.topic.pattern}` "
        f"| {consumer.max_deliver} | {', '.join(f'{pause_s:g} s' for pause_s in consumer.backoff_s)} |"
        for consumer in CONSUMERS
    ]
    return [
        "## Durable consumers",
        "",
        "A malformed message becomes a dead letter at once, any other message after this number of failed deliveries.",
        "",
        "| consumer | stream | service | handles | deliveries | pauses between them |",
        "| --- | --- | --- | --- | --- | --- |",
        *rows,
        "",
    ]


def _render_external_systems() -> list[str]:
    requests = [f"| `{local}` | request | `{topic.pattern}` |" for local, topic in NATS_API_REQUESTS.items()]
    feeds = [f"| `{local}.<job>` | subscribe | `{topic.pattern}` |" for local, topic in NATS_API_FEEDS.items()]
    return [
        "## Subjects of external systems",
        "",
        "Each external system has a NATS account. The server maps its subjects to internal ones with its tenant.",
        "",
        "| its subject | it may | internal subject |",
        "| --- | --- | --- |",
        *requests,
        *feeds,
        "",
    ]
