"""Credentials are not stored or logged anywhere."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from tests.e2e.conftest import simulated_only
from tests.kit.fleet import Fleet
from tests.kit.retrying_fleet import assert_registered

PASSWORD = "canary one sits in a tall tree"
WRONG = "canary two sits somewhere else"


@pytest.mark.requirement("S-26")
@simulated_only
async def test_no_secret_is_in_logs_tables_streams_or_command_lines(fleet: Fleet) -> None:
    async with fleet.client("") as http:
        name = f"canary-{fleet.process.pid}"
        account = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
        assert_registered(await http.post("/auth/register", json=account))
        assert (await http.post("/auth/register", json=account | {"email": "x" + WRONG})).status_code == 422
        assert (await http.post("/auth/login", json={"username": name, "password": WRONG})).status_code == 401
        session = (await http.post("/auth/login", json={"username": name, "password": PASSWORD})).json()
        renewed = (await http.post("/auth/refresh", json={"refresh_token": session["refresh_token"]})).json()
        bearer = {"Authorization": f"Bearer {renewed['access_token']}"}
        made = (await http.post("/auth/keys", json={"name": "canary"}, headers=bearer)).json()
        assert (await http.get("/auth/me", headers={"X-API-Key": made["key"]})).status_code == 200
    secrets = [PASSWORD, WRONG, made["key"], *_tokens(session), *_tokens(renewed), fleet.key]
    kept = "\n".join([*await _rows(fleet), *_files(fleet.state), *_command_lines(fleet)])
    assert name in kept, "the searched data contains the account, so it would contain its secrets"
    assert [secret for secret in secrets if secret in kept] == []


@pytest.mark.requirement("S-26")
async def test_problem_document_never_echoes_input(fleet: Fleet) -> None:
    async with fleet.client("") as http:
        answers = [
            await http.post("/auth/login", json={"usernane": "ada", "password": PASSWORD}),
            await http.post("/auth/login", content=json.dumps({"username": 5, "password": [PASSWORD]}).encode()),
            await http.post("/auth/refresh", json={"refresh_token": PASSWORD}),
            await http.get("/auth/me", headers={"X-API-Key": "canary" * 5}),
        ]
    assert [answer.status_code for answer in answers] == [422, 415, 401, 401]
    assert not [answer.text for answer in answers if "canary" in answer.text]


def _tokens(session: dict[str, str]) -> tuple[str, str]:
    return session["access_token"], session["refresh_token"]


async def _rows(fleet: Fleet) -> list[str]:
    settings = (fleet.state / "env/auth.env").read_text().splitlines()
    url = next(line.split("=", 1)[1] for line in settings if line.startswith("AUTH_DATABASE_URL="))
    sql = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        tables = await sql.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return [
            row["line"]
            for table in tables
            for row in await sql.fetch(f'SELECT t::text AS line FROM "{table["tablename"]}" t')  # noqa: S608 - their names
        ]
    finally:
        await sql.close()


def _files(state: Path) -> Iterator[str]:
    for folder in ("logs", "nats"):
        for path in (state / folder).rglob("*"):
            if path.is_file() and path.suffix != ".conf":
                with suppress(FileNotFoundError):  # JetStream deletes files meanwhile
                    yield path.read_bytes().decode(errors="replace")


def _command_lines(fleet: Fleet) -> Iterator[str]:
    for pid in json.loads((fleet.state / "processes.json").read_text()).values():
        yield Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
