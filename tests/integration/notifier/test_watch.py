import asyncio
import json
from contextlib import AsyncExitStack
from uuid import UUID, uuid4

import asyncpg
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from chassis.database import migrate
from contracts.scheduler.jobs import JOB_CHANGED_LIVE, JobError, JobState
from tests.integration.notifier.conftest import ALICE, BOB, World, frame, rest, states, world_at
from tests.kit.nats import NatsServer
from tests.kit.scripted import output_of
from tests.kit.waiting import until

WHOLE = [(2, "processing"), (3, "processing"), (4, "completed")]


async def run_job(world: World, job_id: UUID) -> None:
    await world.happen(job_id, JobState.LEASED)
    await world.happen(job_id, JobState.RUNNING)
    await world.happen(job_id, JobState.SUCCEEDED, outputs=(output_of(uuid4(), b"x"), output_of(uuid4(), b"yy")))


async def test_every_websocket_client_receives_every_event(world: World) -> None:
    job_id = world.job()
    async with (
        world.watch(job_id) as first,
        world.watch(job_id, headers={"Authorization": "Bearer alice-key"}) as second,
    ):
        for socket in (first, second):
            snapshot = await frame(socket)
            assert (snapshot["type"], snapshot["seq"], snapshot["status"]) == ("snapshot", 1, "pending")
            assert snapshot["job_id"] == str(job_id)
            assert snapshot["queue_position"] == 1
        await world.happen(job_id, JobState.LEASED)
        await world.happen(job_id, JobState.RUNNING)
        for socket in (first, second):
            assert states([await frame(socket), await frame(socket)]) == WHOLE[:2]
        await world.progress(job_id, 40)
        for socket in (first, second):
            progress = await frame(socket)
            assert (progress["type"], progress["progress"], progress["attempt"]) == ("progress", 40, 1)
        await world.happen(job_id, JobState.SUCCEEDED, outputs=(output_of(uuid4(), b"x"), output_of(uuid4(), b"yy")))
        for socket in (first, second):
            frames = await rest(socket)
            assert [found["type"] for found in frames] == ["output", "output", "status", "end"]
            assert [found["url"] for found in frames[:2]] == [
                f"/api/v1/jobs/{job_id}/result?index={index}" for index in range(2)
            ]
            assert "seq" not in frames[0]
            assert states(frames) == WHOLE[2:]
            assert frames[3]["status"] == "completed"
            assert socket.close_code == 1000


async def test_progress_never_decreases_and_ends_with_its_attempt(world: World) -> None:
    job_id = world.job()
    await world.happen(job_id, JobState.LEASED)
    async with world.watch(job_id) as socket:
        assert (await frame(socket))["status"] == "processing"
        for percent in (30, 20, 50):
            await world.progress(job_id, percent)
        seen = [await frame(socket)]
        while seen[-1]["progress"] < 50:
            seen.append(await frame(socket))
        assert [found["progress"] for found in seen] in ([30, 50], [50])
        await world.happen(job_id, JobState.QUEUED)
        await world.progress(job_id, 60)
        await world.happen(job_id, JobState.LEASED)
        await world.progress(job_id, 70, attempt=1)
        await world.progress(job_id, 5, attempt=2)
        assert states([await frame(socket), await frame(socket)]) == [(3, "pending"), (4, "processing")]
        late = await frame(socket)
        assert (late["type"], late["attempt"], late["progress"]) == ("progress", 2, 5)


@pytest.mark.requirement("F-118", "F-119")
async def test_websocket_client_resumes_where_it_stopped(world: World) -> None:
    job_id = world.job()
    await world.happen(job_id, JobState.LEASED)
    async with world.watch(job_id, "?after=0") as socket:
        assert (await frame(socket))["seq"] == 2
        assert states([await frame(socket), await frame(socket)]) == [(1, "pending"), (2, "processing")]
    async with world.watch(job_id, "?after=1") as socket:
        assert (await frame(socket))["seq"] == 2
        assert states([await frame(socket)]) == WHOLE[:1]
        await world.happen(job_id, JobState.FAILED, error=JobError(code="node.error", message="m"))
        frames = await rest(socket)
        assert states(frames) == [(3, "failed")]
        assert frames[0]["error"]["code"] == "node.error"
        assert frames[-1]["type"] == "end"


async def test_unreadable_stored_event_is_read_from_the_scheduler(world: World, database_url: str) -> None:
    job_id = world.job()
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    try:
        await connection.execute(
            "INSERT INTO job_events (job_id, seq, tenant_id, state, body, at) "
            "VALUES ($1, 1, $2, 'queued', '{}', now())",
            job_id,
            world.script.alice,
        )
    finally:
        await connection.close()
    async with world.watch(job_id, "?after=0") as socket:
        assert (await frame(socket))["type"] == "snapshot"
        assert states([await frame(socket)]) == [(1, "pending")]


@pytest.mark.parametrize(
    ("query", "types"),
    [
        ("", ["snapshot", "output", "output", "status", "end"]),
        ("?after=0", ["snapshot", "status", "status", "status", "output", "output", "status", "end"]),
        ("?after=3", ["snapshot", "output", "output", "status", "end"]),
        ("?after=4", ["snapshot", "end"]),
    ],
)
async def test_ended_job_is_sent_completely(world: World, query: str, types: list[str]) -> None:
    job_id = world.job()
    await run_job(world, job_id)
    async with world.watch(job_id, query) as socket:
        frames = await rest(socket)
    assert [found["type"] for found in frames] == types
    assert len(frames[0]["outputs"]) == 2


@pytest.mark.requirement("F-12", "table notifier.job_events")
async def test_events_are_stored_once(world: World, database_url: str) -> None:
    job_id = world.job()
    for event in world.script.scheduler.logs[job_id] * 2:
        await world.publish(event)
    await run_job(world, job_id)
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))

    async def kept() -> bool:
        rows = await connection.fetch("SELECT seq, state FROM job_events WHERE job_id = $1 ORDER BY seq", job_id)
        return [tuple(row) for row in rows] == [(1, "queued"), (2, "leased"), (3, "running"), (4, "succeeded")]

    try:
        await until(kept)
    finally:
        await connection.close()


async def test_event_gap_is_filled_before_later_events(world: World) -> None:
    job_id = world.job()
    async with world.watch(job_id) as socket:
        await frame(socket)
        world.script.scheduler.change(job_id, JobState.LEASED)  # not published
        world.script.scheduler.change(job_id, JobState.RUNNING)
        await world.happen(job_id, JobState.SUCCEEDED)
        assert states(await rest(socket)) == WHOLE


async def test_event_gap_is_filled_although_the_scheduler_refuses_the_first_read(world: World) -> None:
    job_id = world.job()
    async with world.watch(job_id) as socket:
        await frame(socket)
        await world.happen(job_id, JobState.LEASED)
        assert states([await frame(socket)]) == WHOLE[:1]
        world.script.scheduler.change(job_id, JobState.RUNNING)  # not published
        world.script.scheduler.busy = 1
        await world.happen(job_id, JobState.SUCCEEDED)
        async with asyncio.timeout(30):  # shorter than the interval of regular reads
            assert states(await rest(socket)) == WHOLE[1:]
        assert world.script.scheduler.busy == 0


@pytest.mark.requirement("F-75")
async def test_duplicate_and_reordered_live_events_are_sent_once_in_order(world: World) -> None:
    job_id = world.job()
    async with world.watch(job_id) as socket:
        await frame(socket)
        events = [world.script.scheduler.change(job_id, state) for state in (JobState.LEASED, JobState.RUNNING)]
        for event in (events[1], events[0], events[1], events[0]):
            await world.script.bus.publish(JOB_CHANGED_LIVE, event, tenant=str(event.tenant_id), key=str(job_id))
        assert states([await frame(socket), await frame(socket)]) == WHOLE[:2]
        await world.happen(job_id, JobState.SUCCEEDED)
        assert states(await rest(socket)) == WHOLE[2:]


async def test_missed_events_are_found_by_polling(nats_server: NatsServer, database_url: str) -> None:
    async with world_at(nats_server.url, database_url, reread_s=0.3) as world:
        job_id = world.job()
        async with world.watch(job_id) as socket:
            await frame(socket)
            for state in (JobState.LEASED, JobState.RUNNING, JobState.SUCCEEDED):
                world.script.scheduler.change(job_id, state)
            assert states(await rest(socket)) == WHOLE


@pytest.mark.requirement("F-123")
async def test_websocket_clients_stay_connected_during_a_nats_outage(own_nats: NatsServer, database_url: str) -> None:
    async with world_at(own_nats.url, database_url) as world:
        job_id = world.job()
        async with world.watch(job_id) as socket:
            await frame(socket)
            own_nats.kill()
            world.script.scheduler.change(job_id, JobState.LEASED)
            world.script.scheduler.change(job_id, JobState.RUNNING)
            await until(lambda: not world.script.scheduler_bus.connected)
            await own_nats.start()
            assert states([await frame(socket), await frame(socket)]) == WHOLE[:2]
            world.script.scheduler.change(job_id, JobState.SUCCEEDED)
            await until(lambda: world.script.bus.connected)
            event = world.script.scheduler.logs[job_id][-1]
            await world.script.bus.publish(JOB_CHANGED_LIVE, event, tenant=str(event.tenant_id), key=str(job_id))
            assert states(await rest(socket)) == WHOLE[2:]


async def test_new_client_is_told_to_retry_during_a_nats_outage(own_nats: NatsServer, database_url: str) -> None:
    async with world_at(own_nats.url, database_url) as world:
        own_nats.kill()
        with pytest.raises(InvalidStatus) as refused:
            await world.watch(uuid4(), retry=False).__aenter__()
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["retry-after"] == "1"
        async with world.watch(uuid4(), headers={}) as socket:
            await socket.send(json.dumps({"type": "auth", "key": "alice-key"}))
            assert await rest_code(socket) == 1013
        await own_nats.start()


async def rest_code(socket: ClientConnection) -> int | None:
    async with asyncio.timeout(20):
        await socket.wait_closed()
    return socket.close_code


@pytest.mark.requirement("F-119")
@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        ({"X-API-Key": "nobody's"}, "", 401),
        ({"Authorization": "Basic x"}, "", 401),
        (ALICE | {"Authorization": "Bearer alice-key"}, "", 401),
        (BOB, "", 404),
        (ALICE, "?after=-1", 422),
        (ALICE, "?after=x", 422),
        (ALICE, "?after=99999999999", 422),
        (ALICE, "?after=2", 422),
        (ALICE, "?after=1&after=1", 422),
    ],
)
async def test_invalid_handshake_is_refused_before_the_websocket_opens(
    world: World, headers: dict[str, str], query: str, status: int
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await world.watch(world.job(), query, headers).__aenter__()
    assert refused.value.response.status_code == status
    assert refused.value.response.headers["content-type"] == "application/problem+json"
    assert json.loads(refused.value.response.body or b"")["status"] == status


async def test_malformed_job_id_is_answered_like_an_unknown_one(world: World) -> None:
    bodies = []
    for job_id in (uuid4(), "nonsense", world.job()):
        with pytest.raises(InvalidStatus) as refused:
            await world.watch(job_id, headers=BOB).__aenter__()
        body = json.loads(refused.value.response.body or b"")
        del body["request_id"], body["instance"]
        bodies.append(json.dumps(body))
    assert len(set(bodies)) == 1


@pytest.mark.parametrize(
    ("message", "query", "code"),
    [
        ('{"type": "auth", "key": "nobody"}', "", 4401),
        ("{", "", 4401),
        ('{"type": "auth", "key": 7}', "", 4401),
        ("[" * 4_000, "", 4401),
        ("[" * 50_000, "", 1009),
        ('{"type": "auth", "key": "bob-key"}', "", 4404),
        ('{"type": "auth", "key": "alice-key"}', "?after=x", 4400),
    ],
)
async def test_invalid_first_message_closes_with_a_specific_code(
    world: World, message: str, query: str, code: int
) -> None:
    async with world.watch(world.job(), query, headers={}) as socket:
        await socket.send(message)
        assert await rest_code(socket) == code


@pytest.mark.requirement("credential.first-message")
async def test_browser_authenticates_with_its_first_message(world: World) -> None:
    job_id = world.job()
    async with world.watch(job_id, headers={}) as socket:
        await socket.send('{"type": "auth", "key": "alice-key"}')
        assert (await frame(socket))["type"] == "snapshot"
        await socket.send("anything")
        await run_job(world, job_id)
        assert states(await rest(socket)) == WHOLE


async def test_client_that_never_authenticates_is_disconnected(nats_server: NatsServer, database_url: str) -> None:
    async with (
        world_at(nats_server.url, database_url, auth_wait_s=0.2) as world,
        world.watch(world.job(), headers={}) as socket,
    ):
        assert await rest_code(socket) == 4401


@pytest.mark.requirement("S-74")
async def test_oversized_message_closes_only_its_connection(world: World) -> None:
    job_id = world.job()
    async with world.watch(job_id) as good, world.watch(job_id) as bad:
        await frame(good)
        await frame(bad)
        await bad.send("x" * 70_000)
        with pytest.raises(ConnectionClosed):
            await bad.recv()
        await run_job(world, job_id)
        assert states(await rest(good)) == WHOLE


async def test_migrations_match_the_tables(database_url: str) -> None:
    await asyncio.to_thread(migrate.check, "notifier", database_url)


@pytest.mark.requirement("O-8")
async def test_stopping_notifier_tells_viewers_to_reconnect(nats_server: NatsServer, database_url: str) -> None:
    async with AsyncExitStack() as running:
        world = await running.enter_async_context(world_at(nats_server.url, database_url))
        async with world.watch(world.job()) as socket:
            assert (await frame(socket))["seq"] == 1
            await running.aclose()
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012  # service restart
