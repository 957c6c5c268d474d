"""Authentication of a WebSocket by a ticket, without a credential in a header."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from contracts.auth.accounts import Role
from contracts.auth.credentials import InvalidCredential, Principal, Scope
from contracts.auth.tickets import CreateTicket, InvalidTicket
from contracts.auth.tiers import Tier
from contracts.wire.topic import Address
from tests.integration.notifier.conftest import World, frame
from tests.kit.scripted_auth import key_id

PAGE = "https://app.example"


async def ticket(world: World, *, origin: str | None = PAGE, **fields: object) -> str:
    """Create a ticket with alice's key."""
    alice = world.script.alice
    said = {
        "user_id": alice, "username": "alice", "tier": Tier.PRO, "role": Role.USER,
        "scopes": (Scope.JOBS_READ,), "key_id": key_id("alice-key"), "version": 1,
    }  # fmt: skip
    principal = Principal.model_validate(said | fields)
    made = await world.script.auth.create_ticket(
        CreateTicket(principal=principal, origin=origin), Address(str(alice), None)
    )
    return made.text.get_secret_value()


def browser(origin: str | None = PAGE, **more: str) -> dict[str, str]:
    return ({} if origin is None else {"Origin": origin}) | more


async def refused(world: World, query: str, headers: dict[str, str]) -> tuple[int, str]:
    """Return status and error code with which the endpoint for many jobs refuses a handshake."""
    with pytest.raises(InvalidStatus) as caught:
        await world.watch_many(query, headers=headers).__aenter__()
    return caught.value.response.status_code, json.loads(caught.value.response.body or b"")["code"]


@pytest.mark.requirement("B-80")
async def test_ticket_opens_one_websocket(world: World) -> None:
    job_id = world.job()
    text = await ticket(world)
    async with world.watch(job_id, f"?ticket={text}", headers=browser()) as socket:
        assert (await frame(socket))["type"] == "snapshot"
    assert await refused(world, f"?ticket={text}", browser()) == (401, InvalidTicket.code)
    many = await ticket(world, origin=None)
    async with world.watch_many(f"?ticket={many}", headers=browser(None)) as socket:
        await socket.send(json.dumps({"type": "subscribe", "job_id": str(job_id)}))
        assert (await frame(socket))["type"] == "snapshot"


@pytest.mark.requirement("B-80")
async def test_one_of_many_concurrent_uses_of_a_ticket_succeeds(world: World) -> None:
    text, job_id = await ticket(world), world.job()

    async def enters() -> bool:
        try:
            async with world.watch(job_id, f"?ticket={text}", headers=browser()) as socket:
                return bool((await frame(socket))["type"] == "snapshot")
        except InvalidStatus:
            return False

    assert sum(await asyncio.gather(*(enters() for _ in range(20)))) == 1


@pytest.mark.requirement("B-80", "S-71")
@pytest.mark.parametrize(
    "origin", [None, "null", "https://evil.example", "https://app.example:444", "http://app.example"]
)
async def test_ticket_is_refused_from_another_origin(world: World, origin: str | None) -> None:
    assert await refused(world, f"?ticket={await ticket(world)}", browser(origin)) == (401, InvalidTicket.code)


@pytest.mark.requirement("B-80")
async def test_ticket_issued_without_an_origin_cannot_be_used_by_a_web_page(world: World) -> None:
    assert await refused(world, f"?ticket={await ticket(world, origin=None)}", browser()) == (401, InvalidTicket.code)


@pytest.mark.requirement("B-80", "S-72", "credential.url")
@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("?ticket=", InvalidTicket.code),
        ("?ticket=alice-key", InvalidTicket.code),
        ("?ticket=cft_" + "a" * 43, InvalidTicket.code),
        ("?ticket=" + "a" * 3000, InvalidTicket.code),
        ("?key=alice-key", InvalidCredential.code),
        ("?token=alice-key", InvalidCredential.code),
        ("?access_token=alice-key", InvalidCredential.code),
        ("?api_key=alice-key", InvalidCredential.code),
    ],
)
async def test_credential_in_the_url_is_refused(world: World, query: str, code: str) -> None:
    assert await refused(world, query, browser()) == (401, code)


@pytest.mark.requirement("B-80")
async def test_two_credentials_in_one_handshake_are_refused(world: World) -> None:
    text = await ticket(world)
    with_key = browser(**{"X-API-Key": "alice-key"})
    assert await refused(world, f"?ticket={text}", with_key) == (401, InvalidCredential.code)
    assert await refused(world, f"?ticket={text}&ticket={text}", browser()) == (401, InvalidCredential.code)
    async with world.watch_many(f"?ticket={text}", headers=browser()):
        pass  # the refused handshake did not redeem the ticket


@pytest.mark.requirement("B-80")
async def test_websocket_subprotocol_is_refused(world: World) -> None:
    headers = browser(**{"X-API-Key": "alice-key", "Sec-WebSocket-Protocol": "graphql-ws"})
    assert await refused(world, "", headers) == (403, "socket.no_subprotocol")


@pytest.mark.requirement("B-80")
async def test_ticket_shows_only_jobs_of_its_tenant(world: World) -> None:
    foreign = world.script.scheduler.add(world.script.bob, UUID(int=5)).job_id
    with pytest.raises(InvalidStatus) as caught:
        await world.watch(foreign, f"?ticket={await ticket(world)}", headers=browser()).__aenter__()
    assert caught.value.response.status_code == 404


@pytest.mark.requirement("B-80")
async def test_ticket_has_no_more_rights_than_its_credential(world: World) -> None:
    text = await ticket(world, scopes=(Scope.JOBS_WRITE,))
    assert await refused(world, f"?ticket={text}", browser()) == (403, "auth.scope.missing")
    text = await ticket(world, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert await refused(world, f"?ticket={text}", browser()) == (401, InvalidCredential.code)


@pytest.mark.requirement("F-120")
async def test_websocket_opened_by_ticket_closes_with_the_credential_that_created_it(world: World) -> None:
    early, late = await ticket(world), await ticket(world)
    async with world.watch_many(f"?ticket={early}", headers=browser()) as socket:
        await world.script.publish_change(world.script.auth.change(world.script.alice, revoked_key=key_id("alice-key")))
        async with asyncio.timeout(20):
            with pytest.raises(ConnectionClosed):
                await socket.recv()
        assert (socket.close_code, socket.close_reason) == (4401, InvalidCredential.code)
    assert await refused(world, f"?ticket={late}", browser()) == (401, InvalidCredential.code)


@pytest.mark.requirement("F-150")
async def test_ticket_is_refused_with_retry_while_auth_is_down(world: World) -> None:
    text = await ticket(world)
    await world.script.stop_auth()
    with pytest.raises(InvalidStatus) as caught:
        await world.watch_many(f"?ticket={text}", headers=browser(), retry=False).__aenter__()
    assert caught.value.response.status_code == 503
    assert json.loads(caught.value.response.body or b"")["code"] == "service.unavailable"
