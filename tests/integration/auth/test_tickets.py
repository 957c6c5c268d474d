"""A ticket is valid once, for a short time, and no longer than the credential that created it."""

import asyncio
from datetime import timedelta

import jwt
import pytest
from pydantic import SecretStr

from auth.loops.prune import Pruner
from contracts.auth.accounts import CHANGE_USER, ChangeUser, Role
from contracts.auth.credentials import Principal, list_scopes
from contracts.auth.keys import REVOKE_KEY, RevokeKey
from contracts.auth.sessions import END_SESSION, EndSession
from contracts.auth.tickets import (
    CREATE_TICKET,
    REDEEM_TICKET,
    TICKET_LIFETIME_S,
    CreateTicket,
    InvalidTicket,
    RedeemTicket,
    Ticket,
)
from contracts.wire.errors import RelayedRefusal
from tests.integration.auth.conftest import System, bus_as, login, register, session_id
from tests.integration.auth.people import Person, somebody, verified
from tests.kit.postgres import database_with_long_timeout

PAGE = "https://app.example"


async def ticket_of(system: System, principal: Principal, origin: str | None = PAGE) -> Ticket:
    asked = CreateTicket(principal=principal, origin=origin)
    return await system.bus.request(CREATE_TICKET, asked, tenant=str(principal.user_id))


async def spend(system: System, ticket: Ticket | str, origin: str | None = PAGE) -> Principal | str:
    """Redeem a ticket as the notifier; return its user, or the error code."""
    text = ticket if isinstance(ticket, str) else ticket.text.get_secret_value()
    bus = bus_as(system.nats_url, "notifier")
    await bus.start()
    try:
        return await bus.request(REDEEM_TICKET, RedeemTicket(ticket=SecretStr(text), origin=origin))
    except RelayedRefusal as relayed:
        return relayed.details.code
    finally:
        await bus.stop()


async def key_principal(system: System, person: Person) -> tuple[Principal, str]:
    made = await person.make_key()
    return await verified(system, made.text.get_secret_value()), made.key.id


async def session_principal(system: System) -> Principal:
    """Return the principal of a user's access token."""
    person = await register(system.bus)
    session = await login(system.bus, person)
    said = jwt.decode(session.access_token.get_secret_value(), options={"verify_signature": False})
    return Principal(
        user_id=person.id, username=person.username, tier=said["tier"], role=said["role"], version=said["ver"],
        scopes=list_scopes(Role.USER), session_id=session_id(session), expires_at=said["exp"],
    )  # fmt: skip


@pytest.mark.requirement("B-80", "S-72")
async def test_ticket_works_once(system: System) -> None:
    principal, _ = await key_principal(system, await somebody(system))
    ticket = await ticket_of(system, principal)
    assert TICKET_LIFETIME_S - 10 < ticket.expires_in <= TICKET_LIFETIME_S
    found = await asyncio.gather(*(spend(system, ticket) for _ in range(5)))
    assert sorted(map(str, found)) == sorted([str(principal), *[InvalidTicket.code] * 4])


@pytest.mark.requirement("B-80")
async def test_ticket_is_invalid_after_any_use(system: System) -> None:
    principal, _ = await key_principal(system, await somebody(system))
    for origin in (None, "https://evil.example"):
        ticket = await ticket_of(system, principal)
        assert await spend(system, ticket, origin) == InvalidTicket.code
        assert await spend(system, ticket) == InvalidTicket.code


@pytest.mark.requirement("B-80")
async def test_ticket_issued_without_an_origin_cannot_be_used_by_a_web_page(system: System) -> None:
    principal, _ = await key_principal(system, await somebody(system))
    assert await spend(system, await ticket_of(system, principal, None), "https://evil.example") == InvalidTicket.code
    assert await spend(system, await ticket_of(system, principal, None), None) == principal


@pytest.mark.requirement("B-80")
@pytest.mark.parametrize("text", ["x", "cft_" + "a" * 43, "cft_" + "a" * 44, "cft_" + "ä" * 43])
async def test_malformed_ticket_is_refused(system: System, text: str) -> None:
    assert await spend(system, text) == InvalidTicket.code


@pytest.mark.requirement("B-80")
async def test_ticket_expires(system: System) -> None:
    principal, _ = await key_principal(system, await somebody(system))
    ticket = await ticket_of(system, principal)
    late = "UPDATE ws_tickets SET expires_at = expires_at - interval '30 seconds' WHERE user_id = $1"
    await system.sql.execute(late, principal.user_id)
    assert await spend(system, ticket) == InvalidTicket.code


@pytest.mark.requirement("B-80")
async def test_ticket_does_not_outlive_its_credential(system: System) -> None:
    principal = await session_principal(system)
    now = await system.sql.fetchval("SELECT now()")
    short = principal.model_copy(update={"expires_at": now + timedelta(seconds=5)})
    assert (await ticket_of(system, short)).expires_in <= 5
    over = principal.model_copy(update={"expires_at": now - timedelta(seconds=5)})
    ticket = await ticket_of(system, over)
    assert ticket.expires_in == 0
    assert await spend(system, ticket) == InvalidTicket.code


@pytest.mark.requirement("F-120")
async def test_ticket_of_a_revoked_key_is_refused(system: System) -> None:
    person, admin = await somebody(system), await somebody(system, Role.ADMIN)
    principal, key_id = await key_principal(system, person)
    other, _ = await key_principal(system, person)
    tickets = [await ticket_of(system, one) for one in (principal, other)]
    await person.ask(REVOKE_KEY, RevokeKey(key_id=key_id))
    assert [await spend(system, one) for one in tickets] == [InvalidTicket.code, other]
    ticket = await ticket_of(system, other)
    await admin.ask(CHANGE_USER, ChangeUser(user_id=person.id, is_active=False))
    assert await spend(system, ticket) == InvalidTicket.code


@pytest.mark.requirement("F-120")
@pytest.mark.parametrize("every", [False, True])
async def test_ticket_of_an_ended_session_is_refused(system: System, every: bool) -> None:
    principal = await session_principal(system)
    good = await ticket_of(system, principal)
    assert await spend(system, good) == principal
    ticket = await ticket_of(system, principal)
    ended = EndSession(session_id=None if every else principal.session_id)
    await system.bus.request(END_SESSION, ended, tenant=str(principal.user_id))
    assert await spend(system, ticket) == InvalidTicket.code


@pytest.mark.requirement("S-2")
async def test_ticket_belongs_to_the_tenant_in_the_subject(system: System) -> None:
    principal, _ = await key_principal(system, await somebody(system))
    stranger = await somebody(system)
    refused = await stranger.refused(CREATE_TICKET, CreateTicket(principal=principal))
    assert refused.code == "auth.tenant.unknown"


async def test_tickets_are_stored_as_digests_and_expire_soon(system: System) -> None:
    principal, _ = await key_principal(system, await somebody(system))
    ticket = await ticket_of(system, principal)
    rows = await system.sql.fetch("SELECT * FROM ws_tickets WHERE user_id = $1", principal.user_id)
    assert len(rows) == 1
    assert ticket.text.get_secret_value() not in str([dict(row) for row in rows])
    old = "UPDATE ws_tickets SET expires_at = now() - interval '2 minutes' WHERE user_id = $1"
    await system.sql.execute(old, principal.user_id)
    database = database_with_long_timeout(system.database_url)
    await Pruner(database, idle=timedelta(days=7), shared_quota=timedelta(0)).tick()
    await database.close()
    assert await system.sql.fetch("SELECT 1 FROM ws_tickets WHERE user_id = $1", principal.user_id) == []
