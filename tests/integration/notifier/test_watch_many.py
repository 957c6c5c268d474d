"""Watching many jobs on one WebSocket."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode

from contracts.auth.credentials import InvalidCredential
from contracts.scheduler.jobs import JobError, JobState
from notifier.api.connection import MAX_MESSAGES_BURST
from notifier.api.watch_many import MAX_JOBS
from notifier.domain.backlog import MAX_STATES
from tests.integration.notifier.conftest import World, frame, states, world_at
from tests.kit.nats import NatsServer
from tests.kit.scripted_auth import key_id
from tests.kit.waiting import until

LARGE = JobError(code="node.error", message="🖼" * 8_000)  # maximum size of a message


async def say(socket: ClientConnection, kind: str, job_id: object, **more: Any) -> None:
    await socket.send(json.dumps({"type": kind, "job_id": str(job_id)} | more))


async def frames_until(socket: ClientConnection, kind: str, job_id: object) -> list[dict[str, Any]]:
    """Read all frames up to one of this type about this job."""
    found = [await frame(socket)]
    while (found[-1]["type"], found[-1]["job_id"]) != (kind, str(job_id)):
        found.append(await frame(socket))
    return found


async def closing(socket: ClientConnection) -> tuple[int | None, str | None]:
    """Return close code and reason; frames before that are ignored."""
    async with asyncio.timeout(20):
        with suppress(ConnectionClosed):
            while await socket.recv():
                pass
    return socket.close_code, socket.close_reason


@asynccontextmanager
async def unharmed(world: World) -> AsyncIterator[None]:
    """Assert that actions in the block do not keep another socket from receiving all events of its job."""
    job_id = world.job()
    async with world.watch_many() as socket:
        await say(socket, "subscribe", job_id)
        assert (await frame(socket))["type"] == "snapshot"
        yield
        await world.happen(job_id, JobState.SUCCEEDED)
        assert states(await frames_until(socket, "end", job_id)) == [(2, "completed")]


async def test_each_job_is_sent_from_snapshot_to_end_and_the_socket_stays_open(world: World) -> None:
    first, second = world.job(), world.job()
    async with world.watch_many() as socket:
        for job_id in (first, second):
            await say(socket, "subscribe", job_id)
            assert (await frame(socket)).items() >= {"type": "snapshot", "job_id": str(job_id), "seq": 1}.items()
        await world.happen(second, JobState.LEASED)
        await world.happen(first, JobState.SUCCEEDED)
        told = await frames_until(socket, "end", first)
        if "status" not in {one["type"] for one in told if one["job_id"] == str(second)}:
            told += await frames_until(socket, "status", second)
        assert states([one for one in told if one["job_id"] == str(first)]) == [(2, "completed")]
        assert states([one for one in told if one["job_id"] == str(second)]) == [(2, "processing")]
        await world.progress(second, 40)
        assert (await frames_until(socket, "progress", second))[-1]["progress"] == 40
        await say(socket, "subscribe", first)
        assert [one["type"] for one in await frames_until(socket, "end", first)] == ["snapshot", "status", "end"]
        await world.happen(second, JobState.FAILED)
        assert states(await frames_until(socket, "end", second)) == [(3, "failed")]


async def test_subscription_resumes_after_the_last_seen_event(world: World) -> None:
    job_id = world.job()
    await world.happen(job_id, JobState.LEASED)
    async with world.watch_many() as socket:
        await say(socket, "subscribe", job_id, after=1)
        assert (await frame(socket))["type"] == "snapshot"
        assert states([await frame(socket)]) == [(2, "processing")]
        await say(socket, "subscribe", job_id, after=7)
        refused = await frame(socket)
        assert (refused["type"], refused["code"]) == ("error", "events.after_invalid")


async def test_no_event_follows_an_unsubscribe_reply(world: World) -> None:
    left, kept = world.job(), world.job()
    async with world.watch_many() as socket:
        for job_id in (left, kept):
            await say(socket, "subscribe", job_id)
            await frame(socket)
        await say(socket, "unsubscribe", left)
        assert (await frame(socket)).items() >= {"type": "unsubscribed", "job_id": str(left)}.items()
        await world.happen(left, JobState.SUCCEEDED)
        await world.happen(kept, JobState.SUCCEEDED)
        assert {one["job_id"] for one in await frames_until(socket, "end", kept)} == {str(kept)}
        await say(socket, "unsubscribe", kept)
        assert (await frame(socket))["type"] == "unsubscribed"


async def test_unsubscribing_at_any_moment_is_answered(world: World) -> None:
    """A new subscription sends requests, and it can end at the moment of a reply."""
    job_id = world.job()
    await world.happen(job_id, JobState.LEASED)
    async with unharmed(world), world.watch_many() as socket:
        for moments in range(80):
            await say(socket, "subscribe", job_id)
            for _ in range(moments):
                await asyncio.sleep(0)
            time.sleep(0.003)  # noqa: ASYNC251 - whatever was asked is answered by then, and nobody has read it
            await say(socket, "unsubscribe", job_id)
            async with asyncio.timeout(10):
                await frames_until(socket, "unsubscribed", job_id)
        await world.happen(job_id, JobState.SUCCEEDED)
        await say(socket, "unsubscribe", "none")
        assert (await frame(socket)).items() >= {"type": "unsubscribed", "job_id": "none"}.items()


async def test_socket_may_watch_more_jobs_over_time_than_at_once(world: World) -> None:
    ended = world.job()
    await world.happen(ended, JobState.SUCCEEDED)
    async with world.watch_many() as socket:
        for number in range(MAX_JOBS):
            await say(socket, "subscribe", f"none-{number}")
            assert (await frame(socket))["code"] == "job.not_found"
        await say(socket, "subscribe", ended)
        assert (await frame(socket))["type"] == "snapshot"
        assert [one["type"] for one in await frames_until(socket, "end", ended)] == ["status", "end"]


@pytest.mark.requirement("B-81", "S-1")
async def test_foreign_job_is_answered_like_an_unknown_one_and_other_subscriptions_continue(world: World) -> None:
    foreign = world.script.scheduler.add(world.script.bob, uuid4()).job_id
    async with unharmed(world), world.watch_many() as socket:
        answers = []
        for job_id in (foreign, UUID(int=7), "no-id", foreign.hex):
            await say(socket, "subscribe", job_id)
            answer = await frame(socket)
            assert answer.pop("job_id") == str(job_id)
            answers.append({name: answer[name] for name in answer if name != "at"})
        assert (
            answers
            == [
                {
                    "type": "error",
                    "code": "job.not_found",
                    "message": "There is no such job. GET /api/v1/jobs lists your jobs.",
                }
            ]
            * 4
        )


@pytest.mark.requirement("B-81")
@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("{}", 4400),
        ('{"type": null}', 4400),
        ('{"type": "shout", "job_id": "a"}', 4400),
        ('{"type": "subscribe"}', 4400),
        ('{"type": "subscribe", "job_id": 7}', 4400),
        ('{"type": "subscribe", "job_id": "a", "after": -1}', 4400),
        ('{"type": "subscribe", "job_id": "a", "after": true}', 4400),
        ('{"type": "subscribe", "job_id": "a", "all": true}', 4400),
        ('{"type": "subscribe", "job_id": "' + "a" * 65 + '"}', 4400),
        ("[" * 4000, 4400),
        ('{"a":' * 700, 4400),
        ("no json", 4400),
        ("x" * 4097, 1009),
        ("x" * (1 << 20), 1009),
        (b'{"type": "unsubscribe", "job_id": "a"}', 1003),
        (Frame(Opcode.TEXT, b"\xff\xfe"), 1007),
        (Frame(Opcode.CLOSE, b"\x27\x0f"), 1002),
    ],
)
async def test_invalid_message_closes_the_websocket(world: World, sent: Any, code: int) -> None:
    async with unharmed(world), world.watch_many() as socket:
        if isinstance(sent, Frame):
            socket.protocol.send_frame(sent)
            socket.send_data()
        else:
            await socket.send(sent)
        assert (await closing(socket))[0] == code


@pytest.mark.requirement("B-81")
async def test_message_in_too_many_fragments_closes_the_websocket(world: World) -> None:
    async with unharmed(world), world.watch_many() as socket:
        for opcode in [Opcode.TEXT] + [Opcode.CONT] * 10_000:
            socket.protocol.send_frame(Frame(opcode, b"", fin=False))
        socket.send_data()
        assert (await closing(socket))[0] == 1008


@pytest.mark.requirement("B-81")
async def test_client_that_floods_pings_without_reading_is_disconnected(world: World) -> None:
    async with unharmed(world), world.watch_many() as socket:
        socket.transport.pause_reading()
        ping = Frame(Opcode.PING, b"x" * 125).serialize(mask=True)
        with suppress(ConnectionError, TimeoutError):
            for _ in range(200):
                socket.transport.write(ping * 1000)
                await until(lambda: socket.transport.get_write_buffer_size() == 0 or socket.transport.is_closing())
        socket.transport.resume_reading()
        assert (await closing(socket))[0] == 1006


@pytest.mark.requirement("B-81")
async def test_excess_subscriptions_are_refused_and_then_close_the_websocket(world: World) -> None:
    async with unharmed(world), world.watch_many() as socket:
        jobs = [world.job() for _ in range(MAX_JOBS + 1)]
        told = []
        for job_id in jobs:  # sequentially, because all services share one process here
            await say(socket, "subscribe", job_id)
            told.append(await frame(socket))
        assert sorted(one["type"] for one in told) == ["error"] + ["snapshot"] * MAX_JOBS
        refused = next(one for one in told if one["type"] == "error")
        assert (refused["job_id"], refused["code"]) == (str(jobs[-1]), "socket.too_many_jobs")
        await say(socket, "subscribe", jobs[0])
        assert (await frame(socket))["type"] == "snapshot"
        with suppress(ConnectionClosed):
            for _ in range(2 * MAX_MESSAGES_BURST):
                await say(socket, "unsubscribe", jobs[-1])
        assert await closing(socket) == (1008, "too many messages")


async def test_subscription_ends_when_nobody_watches_the_job(world: World, nats_server: NatsServer) -> None:
    before, many = await nats_server.count_subscriptions(), 50
    async with world.watch_many() as socket:
        for number in range(many):
            await say(socket, "subscribe", job_id := world.job())
            await frame(socket)
            if number % 2:
                await say(socket, "unsubscribe", job_id)
                await frame(socket)
        assert await nats_server.count_subscriptions() >= before + many // 2

    async def as_before() -> bool:
        return await nats_server.count_subscriptions() < before + many / 4  # the number of stream readers varies

    await until(as_before)


async def test_deleted_user_receives_nothing_and_a_deleted_job_is_reported(
    nats_server: NatsServer, database_url: str
) -> None:
    async with world_at(nats_server.url, database_url, reread_s=0.3) as world, unharmed(world):
        followed = following()
        gone, kept = world.job(), world.job()
        async with world.watch_many() as socket:
            for job_id in (gone, kept):
                await say(socket, "subscribe", job_id)
                await frame(socket)
            assert following() == followed + 2
            del world.script.scheduler.jobs[gone]
            told = (await frames_until(socket, "error", gone))[-1]
            assert (told["code"], told["message"]) == (
                "job.not_found",
                "There is no such job. GET /api/v1/jobs lists your jobs.",
            )
            await world.happen(kept, JobState.LEASED)
            assert states(await frames_until(socket, "status", kept)) == [(2, "processing")]
        await until(lambda: following() == followed)


def following() -> int:
    """Return the number of jobs that notifiers in this process follow for any client."""
    return sum(task.get_name() == "notifier.reread_job" for task in asyncio.all_tasks())


@pytest.mark.requirement("B-81")
async def test_client_too_far_behind_is_disconnected(nats_server: NatsServer, database_url: str) -> None:
    """A client is disconnected even if it still reads a frame occasionally."""
    async with world_at(nats_server.url, database_url, send_timeout_s=60) as world, unharmed(world):
        job_id = world.job()
        with capture_logs() as logs:
            async with world.watch_many(max_queue=1, ping_interval=None) as socket:
                await say(socket, "subscribe", job_id)
                socket.transport.pause_reading()
                for _ in range(MAX_STATES // 2 + 200):
                    await world.happen(job_id, JobState.QUEUED, error=LARGE)
                    await world.happen(job_id, JobState.LEASED, error=LARGE)
                socket.transport.resume_reading()
                assert await closing(socket) == (1013, "too slow")
        assert [entry["event"] for entry in logs].count("notifier.viewer.too_slow") == 1


@pytest.mark.requirement("B-81")
async def test_client_that_subscribes_without_reading_is_disconnected(
    nats_server: NatsServer, database_url: str
) -> None:
    async with world_at(nats_server.url, database_url, send_timeout_s=0.5) as world, unharmed(world):
        jobs = [world.job() for _ in range(20)]
        with capture_logs() as logs:
            async with world.watch_many(max_queue=1, ping_interval=None) as socket:
                for job_id in jobs:
                    await say(socket, "subscribe", job_id)
                socket.transport.pause_reading()
                for job_id in jobs * 40:
                    await world.happen(job_id, JobState.QUEUED, error=LARGE)
                await until(lambda: any(entry["event"] == "notifier.viewer.too_slow" for entry in logs))
                socket.transport.resume_reading()
                assert (await closing(socket))[0] in {1006, 1013}


@pytest.mark.requirement("F-120")
async def test_multi_job_websocket_is_closed_when_its_credential_expires(world: World) -> None:
    job_id = world.job()
    async with world.watch_many() as socket, world.watch_many() as idle:
        await say(socket, "subscribe", job_id)
        await frame(socket)
        await world.script.publish_change(world.script.auth.change(world.script.alice, revoked_key=key_id("alice-key")))
        for one in (socket, idle):
            assert await closing(one) == (4401, InvalidCredential.code)


async def test_browser_may_authenticate_with_its_first_message(world: World) -> None:
    job_id = world.job()
    async with world.watch_many(headers={}) as socket:
        await socket.send('{"type": "auth", "key": "alice-key"}')
        await say(socket, "subscribe", job_id)
        assert (await frame(socket))["type"] == "snapshot"
    async with world.watch_many(headers={}) as socket:
        await say(socket, "subscribe", job_id)
        assert await closing(socket) == (4401, InvalidCredential.code)
    with pytest.raises(InvalidStatus) as refused:
        await world.watch_many(headers={"X-API-Key": "nobody"}).__aenter__()
    assert refused.value.response.status_code == 401
