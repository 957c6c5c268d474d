"""Registration modes on the whole system, with default limits."""

import asyncio
import secrets
from pathlib import Path
from typing import Any

import pytest

from comfyfleet_client import AsyncClient, Forbidden
from gateway.settings import Settings
from tests.e2e.test_cli import REFUSED, Person
from tests.kit.commands import Commands
from tests.kit.fleet import running_fleet
from tests.kit.retrying_fleet import RetryingFleet, RetryingTransport

PASSWORD = "a lantern by the old canal"
DEFAULTS: dict[str, Any] = {
    f"GATEWAY_{name.upper()}": str(Settings.model_fields[name].default)
    for name in ("register_per_hour", "register_network_per_hour")
}
BY_ADDRESS = int(DEFAULTS["GATEWAY_REGISTER_PER_HOUR"])


def account() -> dict[str, Any]:
    name = f"r-{secrets.token_hex(5)}"
    return {"username": name, "email": f"{name}@example.com", "password": PASSWORD}


@pytest.mark.requirement("limit.registrations")
async def test_concurrent_registrations_from_one_address_are_limited() -> None:
    transport = RetryingTransport()
    async with (
        running_fleet("--nodes", "1", **DEFAULTS) as fleet,
        RetryingFleet.wrap(fleet).client("", transport=transport) as http,
    ):
        asked = [account() for _ in range(30)]
        answers = await asyncio.gather(*(http.post("/auth/register", json=one) for one in asked))
        codes = [answer.status_code for answer in answers]
        # a repeated request may have counted twice against the limit
        assert codes.count(429) - transport.repeated <= 30 - BY_ADDRESS <= codes.count(429)
        assert all(int(answer.headers["retry-after"]) > 60 for answer in answers if answer.status_code == 429)
        found = await http.get(
            "/admin/users", params={"search": "r-", "limit": 100}, headers={"X-API-Key": fleet.credentials["admin_key"]}
        )
        assert 1 <= len(found.json()["users"]) <= BY_ADDRESS
        name = asked[codes.index(201)]["username"]
        login = await http.post("/auth/login", json={"username": name, "password": PASSWORD})
        assert login.status_code == 200, "logins from the address are still allowed"


@pytest.mark.requirement(
    "GET /api/v1/admin/invites",
    "POST /api/v1/admin/invites",
    "DELETE /api/v1/admin/invites/{invite_id}",
    "table auth.invites",
)
async def test_invite_only_registration_requires_an_invite_and_grants_its_tier(
    tmp_path: Path, commands: Commands
) -> None:
    async with (
        running_fleet("--nodes", "1", AUTH_REGISTRATION="invite") as fleet,
        RetryingFleet.wrap(fleet).client("") as http,
    ):
        refused = await http.post("/auth/register", json=account())
        assert (refused.status_code, refused.json()["code"]) == (403, "auth.invite.required")
        admin, person = {"COMFYFLEET_KEY": fleet.credentials["admin_key"]}, Person(fleet.base_url, tmp_path, commands)
        token = (await person.does("admin", "invite", "--tier", "basic", "--days", 1, **admin)).text.strip()
        ada = account()
        register = ("register", ada["username"], ada["email"], "--password-stdin", "--invite", token)
        made = await person.does(*register, "--json", stdin=f"{PASSWORD}\n")
        assert made.objects[0]["tier"] == "basic"
        assert (await person.runs("register", "b", "b@example.com", "--invite", token, "--password-stdin", stdin="x")
                ).status == REFUSED  # fmt: skip
        (listed,) = (await person.does("admin", "invites", "--json", **admin)).objects
        assert listed["used_by"] == made.objects[0]["id"]
        assert token not in str(listed)
        other = (await person.does("admin", "invite", "--json", **admin)).objects[0]
        await person.does("admin", "revoke-invite", other["id"], **admin)
        async with AsyncClient(fleet.base_url) as client:
            with pytest.raises(Forbidden) as caught:
                await client.register(*account().values(), invite=other["invite"])
            assert caught.value.code == "auth.invite.invalid"
        table = await person.does("admin", "invites", **admin)
        assert listed["id"] in table.text
        login = await http.post("/auth/login", json={"username": ada["username"], "password": PASSWORD})
        assert login.status_code == 200
