"""A viewer may watch with a valid key or access token, until it becomes invalid."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from contracts.auth.accounts import Role
from contracts.auth.changes import UserChanged
from contracts.auth.credentials import InvalidCredential, Scope
from contracts.scheduler.jobs import JobState
from tests.integration.notifier.conftest import World, frame, rest, states
from tests.kit.nats import wait_until_processed
from tests.kit.scripted_auth import SigningKey, key_id
from tests.kit.waiting import until

ENDED = (4401, InvalidCredential.code)


async def opened(world: World, headers: dict[str, str]) -> bool:
    """Return whether a socket opens. A new notifier responds with 503 until it has polled changes."""
    try:
        async with world.watch(world.job(), headers=headers) as socket:
            return bool((await frame(socket))["type"] == "snapshot")
    except InvalidStatus as refused:
        if refused.response.status_code != 503:
            raise
        return False


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def closing(socket: ClientConnection) -> tuple[int | None, str | None]:
    """Return close code and reason. Fail if a frame arrives first, because the viewer may not see its data."""
    async with asyncio.timeout(20):
        with pytest.raises(ConnectionClosed):
            await socket.recv()
    return socket.close_code, socket.close_reason


async def test_access_token_and_api_key_open_a_websocket(world: World) -> None:
    token = world.script.auth.token(world.script.alice)
    await until(lambda: opened(world, bearer(token)))
    job_id = world.job()
    async with world.watch(job_id, headers={}) as socket:
        await socket.send(json.dumps({"type": "auth", "token": token}))
        assert (await frame(socket))["type"] == "snapshot"
        await world.happen(job_id, JobState.SUCCEEDED)
        assert states(await rest(socket)) == [(2, "completed")]
    assert world.script.auth.asked == 0


@pytest.mark.requirement("S-40", "S-43")
async def test_forged_token_opens_no_websocket(world: World) -> None:
    alice, auth = world.script.alice, world.script.auth
    await until(lambda: opened(world, bearer(auth.token(alice))))
    forged = auth.token(alice, key=SigningKey(auth.signing.kid))
    for token in (forged, auth.token(alice, exp=1), auth.token(alice, typ="JWT"), auth.token(alice)[:-4]):
        with pytest.raises(InvalidStatus) as refused:
            await world.watch(world.job(), headers=bearer(token)).__aenter__()
        assert refused.value.response.status_code == 401
        async with world.watch(world.job(), headers={}) as socket:
            await socket.send(json.dumps({"type": "auth", "token": token}))
            assert await closing(socket) == ENDED
    async with world.watch(world.job(), headers={}) as socket:
        await socket.send(json.dumps({"type": "auth", "token": auth.token(alice), "key": "alice-key"}))
        assert await closing(socket) == ENDED


async def test_key_without_the_read_scope_opens_no_websocket(world: World) -> None:
    world.script.auth.scopes["alice-key"] = (Scope.JOBS_WRITE, Scope.KEYS)
    with pytest.raises(InvalidStatus) as refused:
        await world.watch(world.job()).__aenter__()
    assert refused.value.response.status_code == 403
    assert json.loads(refused.value.response.body or b"")["code"] == "auth.scope.missing"
    async with world.watch(world.job(), headers={}) as socket:
        await socket.send('{"type": "auth", "key": "alice-key"}')
        assert await closing(socket) == (4403, "auth.scope.missing")


def revoke_key(world: World, _: UUID) -> UserChanged:
    return world.script.auth.change(world.script.alice, revoked_key=key_id("alice-key"))


def deactivate(world: World, _: UUID) -> UserChanged:
    return world.script.auth.change(world.script.alice, is_active=False)


def end_session(world: World, session: UUID) -> UserChanged:
    return world.script.auth.change(world.script.alice, ended_session=session)


def void_tokens(world: World, _: UUID) -> UserChanged:
    return world.script.auth.change(world.script.alice, void_tokens=True, role=Role.USER)


@pytest.mark.requirement("F-120", "S-46", "S-73")
@pytest.mark.parametrize(
    ("change", "ends_key", "ends_token"),
    [(revoke_key, True, False), (deactivate, True, True), (end_session, False, True), (void_tokens, False, True)],
)
async def test_websocket_closes_when_its_credential_is_revoked(
    world: World, change: Callable[[World, UUID], UserChanged], ends_key: bool, ends_token: bool
) -> None:
    session, job_id = uuid4(), world.job()
    token = world.script.auth.token(world.script.alice, sid=str(session))
    await until(lambda: opened(world, bearer(token)))
    async with world.watch(job_id) as by_key, world.watch(job_id, headers=bearer(token)) as by_token:
        for socket in (by_key, by_token):
            assert (await frame(socket))["type"] == "snapshot"
        await world.script.publish_change(change(world, session))
        for socket, ends in ((by_key, ends_key), (by_token, ends_token)):
            if ends:
                assert await closing(socket) == ENDED
        await world.happen(job_id, JobState.SUCCEEDED)
        for socket, ends in ((by_key, ends_key), (by_token, ends_token)):
            if not ends:
                assert states(await rest(socket)) == [(2, "completed")]
    for headers, ends in (({"X-API-Key": "alice-key"}, ends_key), (bearer(token), ends_token)):
        if ends:
            with pytest.raises(InvalidStatus) as refused:
                await world.watch(job_id, headers=headers).__aenter__()
            assert refused.value.response.status_code == 401


@pytest.mark.requirement("F-120")
async def test_no_frame_is_sent_after_a_key_revocation(world: World) -> None:
    job_id = world.job()
    async with world.watch(job_id) as socket:
        await frame(socket)
        await world.script.publish_change(revoke_key(world, uuid4()))
        await wait_until_processed(world.script.auth_bus._client)
        await world.happen(job_id, JobState.SUCCEEDED)
        assert await closing(socket) == ENDED


@pytest.mark.requirement("F-120")
async def test_websocket_closes_when_its_credential_expires(world: World) -> None:
    auth, alice = world.script.auth, world.script.alice
    await until(lambda: opened(world, bearer(auth.token(alice))))

    async def closes_after(seconds: int) -> bool:
        """Assert that both sockets close when their credential expires; False if it expired before they opened."""
        key = f"key-for-{seconds}-s"
        auth.keys[key], auth.expiries[key] = alice, datetime.now(UTC) + timedelta(seconds=seconds)
        token = auth.token(alice, exp=int(auth.expiries[key].timestamp()))
        async with AsyncExitStack() as stack:
            sockets = []
            try:
                for headers in ({"X-API-Key": key}, bearer(token)):
                    sockets.append(await stack.enter_async_context(world.watch(world.job(), headers=headers)))
                    assert (await frame(sockets[-1]))["type"] == "snapshot"
            except InvalidStatus as refused:
                if refused.response.status_code != 401:
                    raise
                return False
            except ConnectionClosed:
                assert await closing(sockets[-1]) == ENDED
                return False
            for socket in sockets:
                assert await closing(socket) == ENDED
            return True

    assert await closes_after(3) or await closes_after(10)


@pytest.mark.requirement("F-150")
async def test_authenticated_viewer_keeps_watching_while_auth_is_down(world: World) -> None:
    token = world.script.auth.token(world.script.alice)
    await until(lambda: opened(world, bearer(token)))
    job_id = world.job()
    async with world.watch(job_id) as before:
        await frame(before)
        await world.script.stop_auth()
        async with world.watch(job_id) as by_key, world.watch(job_id, headers=bearer(token)) as by_token:
            for socket in (by_key, by_token):
                assert (await frame(socket))["type"] == "snapshot"
            await world.happen(job_id, JobState.SUCCEEDED)
            for socket in (before, by_key, by_token):
                assert states(await rest(socket)) == [(2, "completed")]
        with pytest.raises(InvalidStatus) as refused:
            await world.watch(job_id, headers={"X-API-Key": "bob-key"}, retry=False).__aenter__()
        assert refused.value.response.status_code == 503
