"""Sessions: refresh, lost responses, stolen tokens, logout."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest
from pydantic import SecretStr

from chassis.messaging.bus import Bus
from chassis.messaging.metadata import Metadata
from contracts.auth.changes import USER_CHANGED, UserChanged
from contracts.auth.sessions import (
    END_SESSION,
    REFRESH_SESSION,
    EndSession,
    InvalidRefreshToken,
    RefreshSession,
    SessionTokens,
)
from tests.integration.auth.conftest import Person, System, bus_as, claims, login, refused, register, session_id
from tests.kit.nats import wait_until_processed
from tests.kit.waiting import until

VOID = InvalidRefreshToken().details


async def refresh(bus: Bus, session: SessionTokens | str) -> SessionTokens:
    token = SecretStr(session) if isinstance(session, str) else session.refresh_token
    return await bus.request(REFRESH_SESSION, RefreshSession(refresh_token=token, ip="192.0.2.7"))


async def age(sql: asyncpg.Pool, session: SessionTokens, column: str, by: str) -> None:
    """Move a timestamp of a session into the past."""
    assert column in {"rotated_at", "expires_at"}
    query = f"UPDATE sessions SET {column} = {column} - $2::text::interval WHERE id = $1"  # noqa: S608 - one of two
    await sql.execute(query, session_id(session), by)


async def has_ended(sql: asyncpg.Pool, session: SessionTokens) -> bool:
    found: bool = await sql.fetchval("SELECT ended_at IS NOT NULL FROM sessions WHERE id = $1", session_id(session))
    return found


@pytest.fixture
async def heard(system: System, person: Person) -> AsyncIterator[list[UserChanged]]:
    """The list of the user's change messages that a public service has received."""
    door, changes = bus_as(system.nats_url, "notifier"), list[UserChanged]()

    async def note(message: UserChanged, _: Metadata) -> None:
        changes.append(message)

    await door.start()
    try:
        await door.subscribe(USER_CHANGED, note, tenant=person.tenant)
        await wait_until_processed(door._client)
        yield changes
    finally:
        await door.stop()


@pytest.mark.requirement("S-47")
async def test_each_refresh_rotates_the_refresh_token(bus: Bus, sql: asyncpg.Pool, person: Person) -> None:
    session = first = await login(bus, person)
    seen = {first.refresh_token.get_secret_value()}
    for _ in range(3):
        session = await refresh(bus, session)
        seen.add(session.refresh_token.get_secret_value())
        assert session_id(session) == session_id(first)
    assert len(seen) == 4
    row = await sql.fetchrow(
        "SELECT generation, expires_at - created_at = '30 days' AS life FROM sessions WHERE id = $1", session_id(first)
    )
    assert dict(row) == {"generation": 4, "life": True}


@pytest.mark.requirement("S-47")
async def test_refresh_tokens_are_not_stored_in_plain_text(bus: Bus, sql: asyncpg.Pool, person: Person) -> None:
    token = (await login(bus, person)).refresh_token.get_secret_value()
    for kept in await sql.fetch("SELECT * FROM refresh_tokens"):
        assert len(kept["digest"]) == 32
        assert token.removeprefix("cfr_").encode() not in kept["digest"]


@pytest.mark.requirement("B-34")
async def test_all_invalid_refresh_tokens_get_the_same_response(bus: Bus, sql: asyncpg.Pool, person: Person) -> None:
    live, ended, off, late, idle = [await login(bus, person) for _ in range(5)]
    other = await register(bus)
    deactivated = await login(bus, other)
    await bus.request(END_SESSION, EndSession(session_id=session_id(ended)), tenant=person.tenant)
    await bus.request(END_SESSION, EndSession(session_id=session_id(off)), tenant=person.tenant)
    await age(sql, late, "expires_at", "30 days")
    await age(sql, idle, "rotated_at", "7 days")
    await sql.execute("UPDATE users SET is_active = false WHERE id = $1", other.id)
    token = live.refresh_token.get_secret_value()
    texts = (
        "x", "cfr_", f"cfr_{secrets.token_urlsafe(32)}", token[:-1], token + "A", f" {token}", token.swapcase(),
        live.access_token.get_secret_value(), "cfr_\0", "x" * 1024,
    )  # fmt: skip
    answers = [await refused(refresh(bus, wrong)) for wrong in (*texts, ended, off, late, idle, deactivated)]
    assert all(answer == VOID for answer in answers)
    assert (await refresh(bus, live)).expires_in == 900


@pytest.mark.requirement("F-154")
async def test_two_tabs_that_refresh_concurrently_stay_logged_in(bus: Bus, sql: asyncpg.Pool, person: Person) -> None:
    session = await login(bus, person)
    tabs = await asyncio.gather(*(refresh(bus, session) for _ in range(5)))
    assert len({tab.refresh_token.get_secret_value() for tab in tabs}) == 5
    query = "SELECT generation FROM sessions WHERE id = $1"
    # one request rotated the session, the others got tokens of the same generation
    assert await sql.fetchval(query, session_id(session)) == 2
    again = await asyncio.gather(*(refresh(bus, tab) for tab in tabs))
    assert {session_id(tab) for tab in again} == {session_id(session)}
    assert await sql.fetchval(query, session_id(session)) == 3


@pytest.mark.requirement("F-155")
async def test_refresh_token_works_again_after_a_lost_response(bus: Bus, sql: asyncpg.Pool, person: Person) -> None:
    session = await login(bus, person)
    await refresh(bus, session)  # committed, but the response was lost
    went_on = await refresh(bus, session)
    await age(sql, session, "rotated_at", "1 minute")
    assert session_id(await refresh(bus, went_on)) == session_id(session)


@pytest.mark.requirement("S-47")
async def test_late_reuse_of_a_refresh_token_ends_the_session(
    bus: Bus, sql: asyncpg.Pool, person: Person, heard: list[UserChanged]
) -> None:
    session, bystander = await login(bus, person), await login(bus, person)
    thiefs = await refresh(bus, session)
    await age(sql, session, "rotated_at", "11 s")
    assert await refused(refresh(bus, session)) == VOID
    assert await has_ended(sql, session)
    assert await refused(refresh(bus, thiefs)) == VOID
    await until(lambda: any(change.ended_session == session_id(session) for change in heard))
    assert claims(session)["ver"] < heard[-1].version
    entry = await sql.fetchrow(
        "SELECT ip, detail FROM audit_log WHERE action = 'refresh.reused' AND subject_id = $1", person.id
    )
    assert entry["ip"] == "192.0.2.7"
    assert str(session_id(session)) in entry["detail"]
    assert session_id(await refresh(bus, bystander)) == session_id(bystander)


@pytest.mark.requirement("S-48")
async def test_reuse_of_an_older_refresh_token_ends_the_session_within_the_grace_period(
    bus: Bus, sql: asyncpg.Pool, person: Person
) -> None:
    session = await login(bus, person)
    child = await refresh(bus, session)
    grandchild = await refresh(bus, child)
    assert await refused(refresh(bus, session)) == VOID
    assert await has_ended(sql, session)
    assert await refused(refresh(bus, grandchild)) == VOID


@pytest.mark.requirement("S-48")
async def test_next_rotation_invalidates_other_refresh_tokens_of_the_session(
    bus: Bus, sql: asyncpg.Pool, person: Person
) -> None:
    session = await login(bus, person)
    one, sibling = await refresh(bus, session), await refresh(bus, session)
    await refresh(bus, one)
    await age(sql, session, "rotated_at", "11 s")
    assert await refused(refresh(bus, sibling)) == VOID
    assert await has_ended(sql, session)


@pytest.mark.requirement("S-48")
async def test_concurrent_refreshes_rotate_once_and_leave_one_valid_generation(
    bus: Bus, sql: asyncpg.Pool, person: Person
) -> None:
    """Concurrent refreshes in any order cause one rotation, and two generations are never valid at once."""
    session = await login(bus, person)
    await asyncio.gather(*(refresh(bus, session) for _ in range(10)))
    generations = await sql.fetch(
        "SELECT generation, count(*) FROM refresh_tokens WHERE session_id = $1 GROUP BY 1 ORDER BY 1",
        session_id(session),
    )
    assert [tuple(row) for row in generations] == [(1, 1), (2, 10)]


@pytest.mark.requirement("S-46")
async def test_logout_is_published_to_every_service(
    bus: Bus, sql: asyncpg.Pool, person: Person, heard: list[UserChanged]
) -> None:
    session, other = await login(bus, person), await login(bus, person)
    for _ in range(2):
        await bus.request(END_SESSION, EndSession(session_id=session_id(session)), tenant=person.tenant)
    assert await refused(refresh(bus, session)) == VOID
    await until(lambda: [change.ended_session for change in heard] == [session_id(session)])
    assert session_id(await refresh(bus, other)) == session_id(other)
    query = "SELECT count(*) FROM audit_log WHERE action = 'session.ended' AND subject_id = $1"
    assert await sql.fetchval(query, person.id) == 1


@pytest.mark.requirement("S-46")
async def test_logout_everywhere_voids_every_issued_token(bus: Bus, person: Person, heard: list[UserChanged]) -> None:
    sessions = [await login(bus, person) for _ in range(2)]
    await bus.request(END_SESSION, EndSession(session_id=None), tenant=person.tenant)
    for session in sessions:
        assert await refused(refresh(bus, session)) == VOID
    await until(lambda: len(heard) == 1)
    assert all(claims(session)["ver"] < heard[0].tokens_from for session in sessions)
    assert claims(await login(bus, person))["ver"] >= heard[0].tokens_from


@pytest.mark.requirement("S-46")
async def test_session_of_another_user_cannot_be_ended(bus: Bus, sql: asyncpg.Pool, person: Person) -> None:
    session, other = await login(bus, person), await register(bus)
    for tenant in (other.tenant, str(UUID(int=0))):
        await bus.request(END_SESSION, EndSession(session_id=session_id(session)), tenant=tenant)
    assert not await has_ended(sql, session)
    assert session_id(await refresh(bus, session)) == session_id(session)
