"""Accounts and passwords: registration, failed logins, password changes."""

import asyncio
from datetime import timedelta

import asyncpg
import bcrypt
import pytest
from pydantic import SecretStr

from auth.domain.password_hash import PasswordCheck, PasswordHasher
from auth.domain.refresh_token import RefreshTokenPepper
from auth.domain.signing_key import SigningKeyCipher
from auth.usecases.hash_passwords import HashingPool
from auth.usecases.open_session import SessionOpener
from auth.usecases.sign_tokens import AccessTokenSigner
from chassis.messaging.bus import Bus
from contracts.auth.accounts import CHANGE_PASSWORD, REGISTER, ChangePassword, Register
from contracts.auth.sessions import (
    OPEN_SESSION,
    REFRESH_SESSION,
    InvalidLogin,
    OpenSession,
    RefreshSession,
    SessionTokens,
)
from contracts.wire.errors import ErrorKind, RefusalDetails, RelayedRefusal
from tests.integration.auth.conftest import (
    PASSWORD,
    SECRET,
    Person,
    System,
    login,
    new_name,
    refused,
    register,
    replica_at,
    session_id,
    system_at,
)
from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer, database_with_long_timeout

OTHER = "four other words of mine"
BAD_LOGIN = InvalidLogin().details


def registration(username: str, email: str | None = None, password: str = PASSWORD) -> Register:
    return Register(username=username, email=email or f"{username}@example.org", password=SecretStr(password))


async def fail(sql: asyncpg.Pool, person: Person, times: int, ago: str = "0 s") -> None:
    """Set the number of a user's failed logins and the age of the last one."""
    await sql.execute(
        "UPDATE users SET failed_logins = $2, failed_login_at = now() - $3::text::interval WHERE id = $1",
        person.id, times, ago,
    )  # fmt: skip


async def failures(sql: asyncpg.Pool, person: Person) -> int:
    found: int = await sql.fetchval("SELECT failed_logins FROM users WHERE id = $1", person.id)
    return found


@pytest.mark.requirement("S-31")
async def test_new_account_is_of_tier_free_and_its_password_stored_as_argon2id(bus: Bus, sql: asyncpg.Pool) -> None:
    name = new_name()
    user = await bus.request(REGISTER, registration(name, f"{name}+tag@EXAMPLE.org"))
    assert (user.username, user.email, user.tier, user.role) == (name, f"{name}+tag@example.org", "free", "user")
    kept = await sql.fetchrow("SELECT * FROM users WHERE id = $1", user.id)
    assert kept["password_hash"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert PASSWORD not in str(kept)


@pytest.mark.requirement("B-30", "B-31")
async def test_registration_reports_every_error_and_echoes_nothing(bus: Bus) -> None:
    wrong = Register(username="..", email="a@b\r\nBcc: c@d", password=SecretStr("only14letters!"))
    refusal = await refused(bus.request(REGISTER, wrong))
    assert (refusal.kind, refusal.code) == (ErrorKind.INVALID, "auth.account.invalid")
    assert [(error.pointer, error.code) for error in refusal.errors] == [
        ("/username", "username_invalid"), ("/email", "email_invalid"), ("/password", "password_too_short"),
    ]  # fmt: skip
    assert "only14letters" not in refusal.model_dump_json()
    assert "Bcc" not in refusal.model_dump_json()


@pytest.mark.requirement("B-31", "S-34")
async def test_taken_username_and_email_get_the_same_response_in_any_case(bus: Bus, person: Person) -> None:
    taken = [
        await refused(bus.request(REGISTER, again))
        for again in (
            registration(person.username.upper(), f"{new_name()}@example.org"),
            registration(new_name(), person.email.upper()),
            registration(person.username, person.email),
        )
    ]
    assert {refusal.code for refusal in taken} == {"auth.account.taken"}
    assert all(refusal == taken[0] for refusal in taken)


@pytest.mark.requirement("B-31")
async def test_concurrent_registrations_of_one_name_create_one_account(bus: Bus) -> None:
    name = new_name()
    twins = await asyncio.gather(
        *(bus.request(REGISTER, registration(twin)) for twin in (name, name.upper(), name)), return_exceptions=True
    )
    refusals = [twin for twin in twins if isinstance(twin, RelayedRefusal)]
    assert len(refusals) == 2
    assert {refusal.details.code for refusal in refusals} == {"auth.account.taken"}


@pytest.mark.requirement("S-33")
async def test_login_accepts_username_or_email_in_any_case(bus: Bus, person: Person) -> None:
    for name in (person.username, person.username.upper(), person.email, person.email.upper()):
        command = OpenSession(username=name, password=SecretStr(person.password))
        assert (await bus.request(OPEN_SESSION, command)).expires_in == 900


@pytest.mark.requirement("B-32")
@pytest.mark.parametrize("password", ["x", PASSWORD + " ", " " + PASSWORD, PASSWORD.upper(), "\0", "\ufdfa" * 1024])
async def test_password_comparison_uses_every_character(bus: Bus, person: Person, password: str) -> None:
    assert await refused(login(bus, person, password)) == BAD_LOGIN


@pytest.mark.requirement("B-32", "S-34")
async def test_failed_logins_get_the_same_response_whatever_the_cause(bus: Bus, sql: asyncpg.Pool) -> None:
    wrong, delayed, deactivated, keyless = [await register(bus) for _ in range(4)]
    await fail(sql, delayed, 50)
    await sql.execute("UPDATE users SET is_active = false WHERE id = $1", deactivated.id)
    await sql.execute("UPDATE users SET password_hash = NULL WHERE id = $1", keyless.id)
    asked = [login(bus, wrong, OTHER), *(login(bus, person) for person in (delayed, deactivated, keyless))]
    names = (new_name(), f"{new_name()}@example.org", "nul\0", "\u0430lice", "' OR true --", "x" * 512)
    asked += [
        bus.request(OPEN_SESSION, OpenSession(username=name, password=SecretStr(PASSWORD), ip="192.0.2.7"))
        for name in names
    ]
    answers = [await refused(asking) for asking in asked]
    assert len(answers) == 10
    assert all(answer == BAD_LOGIN for answer in answers)


class Counting(PasswordHasher):
    """Counts password checks."""

    checked = 0

    def verify(self, password: str, stored: str | None) -> PasswordCheck:
        self.checked += 1
        return super().verify(password, stored)


@pytest.mark.requirement("S-34")
async def test_every_login_verifies_exactly_one_hash(system: System, sql: asyncpg.Pool) -> None:
    """tests/unit/auth/test_password.py tests that each check is one argon2 verification."""
    good, wrong, delayed, deactivated = [await register(system.bus) for _ in range(4)]
    await fail(sql, delayed, 50)
    await sql.execute("UPDATE users SET is_active = false WHERE id = $1", deactivated.id)
    hashes, database = Counting(), database_with_long_timeout(system.database_url, pool_size=2)
    signer = AccessTokenSigner(
        database, SigningKeyCipher(SECRET), token_life=timedelta(minutes=15), key_life=timedelta(days=30)
    )
    hashing = HashingPool(hashes, threads=1, queue=4, wait_s=60)
    opener = SessionOpener(
        database, hashing, signer, RefreshTokenPepper(SECRET), life=timedelta(days=30), idle=timedelta(days=1)
    )
    try:
        people = [(good, PASSWORD), (wrong, OTHER), (delayed, PASSWORD), (deactivated, PASSWORD)]
        asked = [(person.username, password) for person, password in people] + [(new_name(), PASSWORD), ("\0", "")]
        for number, (name, password) in enumerate(asked, start=1):
            command = OpenSession.model_construct(username=name, password=SecretStr(password), ip=None)
            try:
                await opener.open_session(command)
            except InvalidLogin:
                assert name != good.username
            assert hashes.checked == number
    finally:
        hashing.close()
        await database.close()


@pytest.mark.requirement("S-33")
async def test_login_is_delayed_after_five_failures_even_with_the_right_password(
    bus: Bus, sql: asyncpg.Pool, person: Person
) -> None:
    for _ in range(5):
        await refused(login(bus, person, OTHER))
    assert await failures(sql, person) == 5
    await fail(sql, person, 9)
    assert await refused(login(bus, person)) == BAD_LOGIN
    assert await refused(login(bus, person, OTHER)) == BAD_LOGIN
    assert await failures(sql, person) == 9  # logins during the delay do not extend it


@pytest.mark.requirement("S-33")
async def test_right_password_after_the_delay_resets_it(bus: Bus, sql: asyncpg.Pool, person: Person) -> None:
    await fail(sql, person, 100, ago="59 min")
    assert await refused(login(bus, person)) == BAD_LOGIN
    await fail(sql, person, 100, ago="61 min")
    assert await refused(login(bus, person, OTHER)) == BAD_LOGIN
    assert await failures(sql, person) == 101
    await fail(sql, person, 101, ago="61 min")
    assert (await login(bus, person)).expires_in == 900
    assert await failures(sql, person) == 0


@pytest.mark.requirement("S-33")
async def test_login_delay_survives_a_restart(system: System, sql: asyncpg.Pool, person: Person) -> None:
    await fail(sql, person, 20)
    async with replica_at(system.nats_url, system.database_url):
        assert await refused(login(system.bus, person)) == BAD_LOGIN


@pytest.mark.requirement("S-33")
async def test_concurrent_guesses_are_delayed_like_sequential_ones(bus: Bus, sql: asyncpg.Pool, person: Person) -> None:
    await fail(sql, person, 15, ago="10 min")
    await asyncio.gather(*(refused(login(bus, person, f"a guess of mine {n}")) for n in range(8)))
    assert await failures(sql, person) == 16


@pytest.mark.requirement("S-31")
async def test_bcrypt_hash_is_replaced_on_login(bus: Bus, sql: asyncpg.Pool, person: Person) -> None:
    old = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    await sql.execute("UPDATE users SET password_hash = $2 WHERE id = $1", person.id, old)
    assert await refused(login(bus, person, OTHER)) == BAD_LOGIN
    read = "SELECT password_hash FROM users WHERE id = $1"
    assert await sql.fetchval(read, person.id) == old
    await login(bus, person)
    assert (await sql.fetchval(read, person.id)).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert (await login(bus, person)).expires_in == 900


@pytest.mark.requirement("B-33")
async def test_logins_beyond_the_hashing_queue_are_refused_at_once(
    own_nats: NatsServer, system: System, person: Person
) -> None:
    async with system_at(own_nats.url, system.database_url, hashing_threads=1, hashing_queue=4) as busy:
        answers = await asyncio.gather(*(login(busy.bus, person) for _ in range(100)), return_exceptions=True)
    served = [answer for answer in answers if isinstance(answer, SessionTokens)]
    told: list[RefusalDetails] = [answer.details for answer in answers if isinstance(answer, RelayedRefusal)]
    assert len(served) + len(told) == 100
    assert served
    assert {(refusal.kind, refusal.code, refusal.retry_after_s) for refusal in told} == {
        (ErrorKind.UNAVAILABLE, "auth.busy", 1.0)
    }


def change(current: str, new: str, session: SessionTokens | None = None) -> ChangePassword:
    return ChangePassword(
        current_password=SecretStr(current),
        new_password=SecretStr(new),
        session_id=None if session is None else session_id(session),
    )


@pytest.mark.requirement("S-35")
async def test_password_change_needs_the_current_password(bus: Bus, sql: asyncpg.Pool, person: Person) -> None:
    refusal = await refused(bus.request(CHANGE_PASSWORD, change(OTHER, OTHER + "!"), tenant=person.tenant))
    assert refusal == BAD_LOGIN
    assert await failures(sql, person) == 1
    refusal = await refused(bus.request(CHANGE_PASSWORD, change(PASSWORD, "short"), tenant=person.tenant))
    assert [(error.pointer, error.code) for error in refusal.errors] == [("/new_password", "password_too_short")]
    assert (await login(bus, person)).expires_in == 900


@pytest.mark.requirement("S-35")
async def test_password_change_ends_other_sessions_and_is_audited(bus: Bus, sql: asyncpg.Pool, person: Person) -> None:
    mine, other = await login(bus, person), await login(bus, person)
    await bus.request(CHANGE_PASSWORD, change(PASSWORD, OTHER, mine), tenant=person.tenant)
    assert (await refused(bus.request(REFRESH_SESSION, RefreshSession(refresh_token=other.refresh_token)))).code == (
        "auth.refresh.invalid"
    )
    assert (await bus.request(REFRESH_SESSION, RefreshSession(refresh_token=mine.refresh_token))).expires_in == 900
    assert await refused(login(bus, person)) == BAD_LOGIN
    await login(bus, person, OTHER)
    said = await sql.fetch("SELECT body FROM changes WHERE user_id = $1", person.id)
    assert [str(session_id(other)) in row["body"] for row in said] == [True]
    query = "SELECT count(*) FROM audit_log WHERE action = 'password.changed' AND subject_id = $1"
    assert await sql.fetchval(query, person.id) == 1


@pytest.mark.requirement("S-35")
async def test_password_change_ends_sessions_refreshed_within_the_grace_period(
    bus: Bus, sql: asyncpg.Pool, person: Person
) -> None:
    other = session_id(await login(bus, person))
    refreshed = "UPDATE sessions SET rotated_at = now() - interval '15 minutes 5 seconds' WHERE id = $1"
    await sql.execute(refreshed, other)  # within the grace period of 10 s the client may have repeated the request
    await bus.request(CHANGE_PASSWORD, change(PASSWORD, OTHER), tenant=person.tenant)
    said = await sql.fetch("SELECT body FROM changes WHERE user_id = $1", person.id)
    assert [str(other) in row["body"] for row in said] == [True]


@pytest.mark.requirement("S-36")
async def test_new_installation_has_no_accounts(postgres_server: PostgresServer) -> None:
    fresh = await postgres_server.create_database("auth")
    connection = await asyncpg.connect(fresh.replace("+asyncpg", ""))
    try:
        assert await connection.fetchval("SELECT count(*) FROM users") == 0
    finally:
        await connection.close()
