"""Creation and update of streams, and lookup of the last message of a subject."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from nats.errors import Error as NatsError

from chassis.messaging import streams
from chassis.messaging.bus import Bus
from contracts.wire.topic import Stream
from stack.ports import find_free_ports
from tests.integration.chassis.conftest import BURNT, NOTED, NOTES, Note, connected, count
from tests.integration.chassis.note_consumers import store_notes
from tests.kit.nats import NatsServer
from tests.kit.waiting import until

HOUR_NS = 3600 * 10**9
ELECTION_S = 60.0  # a cluster takes up to 10 s to elect a leader, more on a loaded machine


async def test_last_message_of_a_subject_is_returned(stream: Bus) -> None:
    await streams.create_missing_streams(stream, (NOTES,))
    subject = NOTED.subject(key="a")
    assert await streams.read_last_message(stream, NOTES, NOTED, subject) is None
    await store_notes(stream, 1, 2)
    found: list[Note] = []

    async def is_found() -> bool:
        last = await streams.read_last_message(stream, NOTES, NOTED, subject)
        found.extend([last] if last else [])
        return bool(found)

    await until(is_found)  # replies that take longer than half a second are ignored
    assert found == [Note(letter="a", seq=2)]
    assert await streams.read_last_message(stream, NOTES, NOTED, NOTED.subject(key="b")) is None
    await stream.jetstream.publish(subject, b"{")
    assert await streams.read_last_message(stream, NOTES, NOTED, subject) is None


async def test_last_message_is_unknown_while_nats_is_unavailable(own_nats: NatsServer) -> None:
    async with connected(own_nats.url) as bus:
        await streams.create_missing_streams(bus, (NOTES,))
        await store_notes(bus, 1)
        own_nats.kill()
        async with asyncio.timeout(5):
            assert await streams.read_last_message(bus, NOTES, NOTED, NOTED.subject(key="a")) is None


async def test_cancellation_during_a_last_message_lookup_is_not_lost(stream: Bus) -> None:
    """Python 3.11's wait_for, which nats-py uses, would return the reply instead."""
    await streams.create_missing_streams(stream, [NOTES])
    await store_notes(stream, 1)
    tries, answered = 0, False
    while not answered or tries < 200:
        tries += 1
        asked = asyncio.create_task(streams.read_last_message(stream, NOTES, NOTED, NOTED.subject(key="a")))
        for _ in range(8):
            await asyncio.sleep(0)
        time.sleep(0.004)  # noqa: ASYNC251 - the answer is there, and nobody has read it
        for _ in range(tries % 20):  # before, during and after the lookup
            await asyncio.sleep(0)
        answered = asked.done()
        asked.cancel()
        await asyncio.wait({asked})
        assert answered or asked.cancelled()


async def config_of(bus: Bus, stream: Stream = NOTES) -> dict[str, Any]:
    reply = await bus._client.request(f"$JS.API.STREAM.INFO.{stream.name}", b"", timeout=5)
    config: dict[str, Any] = json.loads(reply.data)["config"]
    return config


@pytest.mark.requirement("O-15")
async def test_existing_stream_is_changed_to_what_is_declared_and_keeps_its_messages(stream: Bus) -> None:
    await streams.create_missing_streams(stream, (NOTES,))
    await store_notes(stream, 1, 2, 3)
    by_operator = await config_of(stream) | {"max_msg_size": 100_000, "metadata": {"team": "a"}}
    await stream._client.request("$JS.API.STREAM.UPDATE.NOTES", json.dumps(by_operator).encode(), timeout=5)
    changed = replace(
        NOTES, topics=(NOTED, BURNT), description="notes", max_age_s=7200, max_bytes=2 << 30, duplicate_window_s=60,
        last_per_subject=3,
    )  # fmt: skip
    await streams.update_stream(stream, changed)
    config = await config_of(stream)
    assert config["subjects"] == [NOTED.pattern, BURNT.pattern]
    assert (config["description"], config["max_age"], config["max_bytes"]) == ("notes", 2 * HOUR_NS, 2 << 30)
    assert (config["duplicate_window"], config["max_msgs_per_subject"]) == (HOUR_NS // 60, 3)
    assert (config["max_msg_size"], config["metadata"]["team"]) == (100_000, "a")
    assert await count(stream) == 3


@pytest.mark.requirement("O-15")
async def test_change_that_would_discard_messages_is_refused(stream: Bus) -> None:
    await streams.create_missing_streams(stream, (NOTES,))
    await store_notes(stream, 1, 2, 3)

    async def has_aged() -> bool:
        fill = await streams.read_stream_usage(stream, NOTES)
        return fill is not None and fill.oldest_age_s > 0.2

    await until(has_aged)
    for change, reason in (
        ({"max_bytes": 100}, "is not cut to 100"),
        ({"max_age_s": 0.2, "duplicate_window_s": 0.1}, "holds messages older than"),
        ({"last_per_subject": 2}, "more than 2 messages of a subject"),
        ({"in_memory": True}, "is in file and cannot move"),
    ):
        with pytest.raises(streams.StreamRefused, match=reason):
            await streams.update_stream(stream, replace(NOTES, description=reason, **change))
        assert (await config_of(stream))["description"] == reason  # changes that lose no message are applied
    config = await config_of(stream)
    assert (config["max_bytes"], config["max_age"], config["max_msgs_per_subject"]) == (1 << 30, HOUR_NS, -1)
    assert await count(stream) == 3


@pytest.mark.requirement("O-15", "setting STREAM_REPLICAS")
async def test_replicas_are_refused_without_a_cluster(stream: Bus) -> None:
    with pytest.raises(streams.StreamRefused, match="STREAM_REPLICAS=1"):
        await streams.create_missing_streams(stream, (NOTES,), replicas=3)
    await streams.create_missing_streams(stream, (NOTES,))
    with pytest.raises(streams.StreamRefused, match="STREAM_REPLICAS=1"):
        await streams.update_stream(stream, replace(NOTES, description="notes"), replicas=3)
    config = await config_of(stream)
    assert (config["num_replicas"], config["description"]) == (1, "notes")


@asynccontextmanager
async def cluster() -> AsyncIterator[list[NatsServer]]:
    """Three servers that form a JetStream cluster."""
    routes = find_free_ports(3)
    peers = ", ".join(f"nats://127.0.0.1:{port}" for port in routes)
    servers = [
        NatsServer(f'server_name: "n{port}"\ncluster {{ name: c, listen: "127.0.0.1:{port}", routes: [ {peers} ] }}')
        for port in routes
    ]
    try:
        await asyncio.gather(*[server.start() for server in servers])
        yield servers
    finally:
        for server in servers:
            server.remove()


async def is_replicated(bus: Bus) -> bool:
    """Change the stream to three replicas, and return whether all of them are up to date."""
    try:
        await streams.update_stream(bus, NOTES, replicas=3)
        info = await bus.jetstream.stream_info(NOTES.name)
    except (streams.StreamRefused, streams.JetStreamUnavailable):  # a server has not joined the cluster yet
        return False
    except (NatsError, TimeoutError):  # a new leader is being elected
        return False
    return info.cluster is not None and [one.current for one in info.cluster.replicas or []] == [True, True]


@pytest.mark.requirement("O-6", "O-15")
async def test_replicated_stream_and_its_clients_survive_the_loss_of_a_server() -> None:
    async with cluster() as servers, connected(",".join(server.url for server in servers)) as bus:

        async def is_declared() -> bool:
            try:
                await streams.create_missing_streams(bus, (NOTES,))
            except (streams.StreamRefused, streams.JetStreamUnavailable):  # the cluster is still electing its leader
                return False
            return True

        await until(is_declared, ELECTION_S)
        await store_notes(bus, 1, 2, 3)
        await until(lambda: is_replicated(bus), ELECTION_S)
        url = bus._client.connected_url
        assert url is not None
        (used,) = [server for server in servers if server.port == url.port]
        used.kill()
        await until(lambda: bus.connected and bus._client.connected_url != url)

        async def keeps_its_messages() -> bool:
            try:
                return await count(bus) == 3
            except (NatsError, TimeoutError, OSError):  # a new leader is being elected
                return False

        await until(keeps_its_messages, ELECTION_S)
