"""Login links: the command line, expiry and erasure."""

import pytest
from pydantic import SecretStr

from auth.commands import create_login_link
from contracts.auth.accounts import Role
from contracts.auth.erasure import ERASE_USER, EraseUser
from contracts.auth.login_links import REDEEM_LOGIN_LINK, InvalidLoginLink, RedeemLoginLink
from contracts.auth.sessions import SessionTokens
from contracts.wire.errors import RelayedRefusal
from tests.integration.auth.conftest import AuthCommands, System, claims, settings_for
from tests.integration.auth.people import Person, somebody


async def run_command(auth_commands: AuthCommands, system: System, *arguments: str) -> tuple[int, str]:
    """Run ``python -m auth login-link``; return its exit status and output."""
    ended = await auth_commands.run(system.database_url, "login-link", *arguments, AUTH_NATS_URL=system.nats_url)
    return ended.returncode, (ended.stdout + ended.stderr).strip()


async def new_token(system: System, person: Person) -> str:
    return await create_login_link(settings_for(system.nats_url, system.database_url), person.username)


async def redeem(system: System, token: str) -> SessionTokens:
    return await system.bus.request(REDEEM_LOGIN_LINK, RedeemLoginLink(token=SecretStr(token)))


async def is_refused(system: System, token: str) -> bool:
    with pytest.raises(RelayedRefusal) as relayed:
        await redeem(system, token)
    return relayed.value.details == InvalidLoginLink().details


@pytest.mark.requirement("S-86")
async def test_operator_creates_a_login_link_on_the_command_line(system: System, auth_commands: AuthCommands) -> None:
    person: Person = await somebody(system)
    code, url = await run_command(
        auth_commands, system, "--username", person.username.upper(), "--url", "http://127.0.0.1:8000"
    )
    assert code == 0, url
    address, _, token = url.partition("#sign-in=")
    assert address == "http://127.0.0.1:8000/"
    stored = await system.sql.fetchrow("SELECT * FROM login_links WHERE user_id = $1", person.id)
    assert (len(stored["digest"]), stored["created_by"]) == (32, None)
    assert token.removeprefix("cfl_").encode() not in stored["digest"]
    assert claims(await redeem(system, token))["sub"] == str(person.id)
    assert await system.sql.fetchval("SELECT count(*) FROM login_links WHERE user_id = $1", person.id) == 0

    late = await new_token(system, person)
    await system.sql.execute("UPDATE login_links SET expires_at = now() WHERE user_id = $1", person.id)
    assert await is_refused(system, late)

    erased = await new_token(system, person)
    admin = await somebody(system, Role.ADMIN)
    await admin.ask(ERASE_USER, EraseUser(user_id=person.id))
    assert await is_refused(system, erased)
    code, message = await run_command(auth_commands, system, "--username", person.username)
    assert (code, message.startswith("There is no such user")) == (1, True)
