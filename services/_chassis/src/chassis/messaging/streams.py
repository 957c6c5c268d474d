"""Streams: created and changed by their owner at start, and read directly if only the newest message matters."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from nats.errors import Error as NatsError
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError
from pydantic import BaseModel, ValidationError

from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.wire.topic import Stream, Topic

P = TypeVar("P", bound=BaseModel)

_NANOSECONDS = 1_000_000_000  # JetStream's API has durations in them


class StreamRefused(Exception):
    """A stream cannot be created or changed as declared. The message says why and what to do."""


class JetStreamUnavailable(Exception):
    """JetStream does not respond, or its cluster has no leader now."""


@dataclass(frozen=True, slots=True)
class StreamUsage:
    """How full a stream is.

    Attributes:
        oldest_age_s: age of its oldest message, seconds; 0 if it is empty.
        used_share: share of its maximum size that is used; 0 if it has none.
    """

    oldest_age_s: float
    used_share: float


async def create_missing_streams(bus: Bus, streams: Iterable[Stream], *, replicas: int = 1) -> set[str]:
    """Create missing streams. Existing ones keep their configuration.

    Returns:
        The names of created streams. Messages that they contained before are lost.

    Raises:
        StreamRefused: the server cannot create a stream.
        JetStreamUnavailable: JetStream does not respond.
    """
    created = set()
    for stream in streams:
        if await _read_stream(bus, stream) is None:
            await _write_config(bus, "CREATE", stream, _build_config(stream, replicas))
            created.add(stream.name)
            log.info("streams.created", stream=stream.name)
    return created


async def update_stream(bus: Bus, stream: Stream, *, replicas: int = 1) -> None:
    """Change an existing stream to what is declared. Settings that are not declared stay as they are.

    Raises:
        StreamRefused: a change would discard messages, or the server refuses it. Other changes are made all the same.
        JetStreamUnavailable: JetStream does not respond.
    """
    found = await _read_stream(bus, stream)
    if found is None:
        raise StreamRefused(f"Stream {stream.name} does not exist.")
    current, declared = found["config"], _build_config(stream, replicas)
    refusals = _find_losses(stream, found, declared)
    refused = {name for name, _ in refusals}
    changes = {
        name: declared[name] for name in _MANAGED if current.get(name, "") != declared[name] and name not in refused
    }
    replicas_change = {name: changes.pop(name) for name in ("num_replicas",) if name in changes}
    for change in filter(None, (changes, replicas_change)):  # apart: the cluster may be too small for the replicas
        await _write_config(bus, "UPDATE", stream, current | change)
        current |= change
        log.info("streams.changed", stream=stream.name, **change)
    if refusals:
        raise StreamRefused(" ".join(message for _, message in refusals))


async def read_stream_usage(bus: Bus, stream: Stream) -> StreamUsage | None:
    """Return how full an existing stream is; None if it does not exist.

    Raises:
        JetStreamUnavailable: JetStream does not respond.
    """
    found = await _read_stream(bus, stream)
    if found is None:
        return None
    state, max_bytes = found["state"], found["config"]["max_bytes"]
    return StreamUsage(_read_oldest_age_s(found), state["bytes"] / max_bytes if max_bytes > 0 else 0.0)


_MANAGED = (
    "description", "subjects", "max_age", "max_bytes", "max_msgs_per_subject", "discard", "duplicate_window",
    "allow_direct", "num_replicas",
)  # fmt: skip
_ADVICE = {
    10074: "Set STREAM_REPLICAS=1, or connect to a NATS cluster.",
    10005: "Set fewer STREAM_REPLICAS, or start more servers of the NATS cluster.",
    10047: "Raise max_file_store of the NATS server, or lower the size of the stream.",
}
"""What an operator can do, by error code of JetStream."""


def _build_config(stream: Stream, replicas: int) -> dict[str, Any]:
    """Return the configuration in the JSON of JetStream's API."""
    return {
        "name": stream.name,
        "description": stream.description,
        "subjects": list(stream.subjects),
        "retention": "limits",
        "max_consumers": -1,
        "max_msgs": -1,
        "max_age": round(stream.max_age_s * _NANOSECONDS),
        "max_bytes": stream.max_bytes,
        "max_msgs_per_subject": stream.last_per_subject or -1,
        "storage": "memory" if stream.in_memory else "file",
        "discard": "old",
        "duplicate_window": round(stream.duplicate_window_s * _NANOSECONDS),
        "allow_direct": True,
        "no_ack": stream.in_memory,
        "num_replicas": 1 if stream.in_memory else replicas,
    }


def _find_losses(stream: Stream, found: dict[str, Any], declared: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the declared settings that cannot be changed without losing messages, each with what to do."""
    current, state, name = found["config"], found["state"], stream.name
    losses = []
    if current["storage"] != declared["storage"]:
        losses.append(
            ("storage", f"Stream {name} is in {current['storage']} and cannot move. Delete it to recreate it.")
        )
    if stream.in_memory:
        return losses  # its messages may be lost
    changed = {setting for setting in declared if declared[setting] != current.get(setting)}
    if "max_bytes" in changed and 0 < declared["max_bytes"] < state["bytes"]:
        message = f"Stream {name} holds {state['bytes']} bytes and is not cut to {declared['max_bytes']}."
        losses.append(("max_bytes", f"{message} Raise its size, or delete old messages yourself."))
    if "max_age" in changed and 0 < declared["max_age"] < _read_oldest_age_s(found) * _NANOSECONDS:
        message = f"Stream {name} holds messages older than {stream.max_age_s / 3600:g} hours, which are not discarded."
        losses.append(("max_age", f"{message} Delete them yourself, or wait."))
    new_limit, old_limit = declared["max_msgs_per_subject"], current["max_msgs_per_subject"]
    if (
        new_limit > 0
        and (old_limit < 0 or new_limit < old_limit)
        and state["messages"] - state.get("num_subjects", 0) >= new_limit
    ):
        message = f"Stream {name} may hold more than {new_limit} messages of a subject, which are not discarded."
        losses.append(("max_msgs_per_subject", f"{message} Delete them yourself."))
    return losses


def _read_oldest_age_s(found: dict[str, Any]) -> float:
    if not found["state"]["messages"]:
        return 0.0
    return (datetime.fromisoformat(found["ts"]) - datetime.fromisoformat(found["state"]["first_ts"])).total_seconds()


async def _read_stream(bus: Bus, stream: Stream) -> dict[str, Any] | None:
    try:
        return await _request_api(bus, f"INFO.{stream.name}")
    except NotFoundError:
        return None


async def _write_config(bus: Bus, verb: str, stream: Stream, config: dict[str, Any]) -> None:
    try:
        await _request_api(bus, f"{verb}.{stream.name}", json.dumps(config).encode())
    except APIError as error:
        advice = _ADVICE.get(error.err_code or 0, "")
        reason = (error.description or "").rstrip(".")
        message = (
            f"NATS refused stream {stream.name} with {config['num_replicas']} replicas: {reason}. {advice}".strip()
        )
        raise StreamRefused(message) from error


async def _request_api(bus: Bus, path: str, body: bytes = b"") -> dict[str, Any]:
    # stream_info and update_stream of nats-py 2.16 drop fields that they do not know, such as first_ts.
    request = bus.jetstream._api_request  # noqa: SLF001
    try:
        reply: dict[str, Any] = await request(f"$JS.API.STREAM.{path}", body, timeout=5)
    except (NatsError, TimeoutError, OSError) as error:
        if isinstance(error, APIError) and not isinstance(error, ServiceUnavailableError):
            raise
        raise JetStreamUnavailable(str(error) or type(error).__name__) from error
    return reply


async def read_last_message(bus: Bus, stream: Stream, topic: Topic[P], subject: str) -> P | None:
    """Return the newest message of a subject; None if there is none or no reply within half a second."""
    if not bus.connected:
        return None
    try:
        async with asyncio.timeout(0.5):
            reading = bus.jetstream.get_last_msg(stream.name, subject, direct=True)
            message = await asyncio.shield(
                reading
            )  # otherwise a cancellation that coincides with the reply is lost: see Bus._send
        return topic.payload.model_validate_json(message.data or b"")
    except (NatsError, TimeoutError, ValidationError, OSError):
        return None
