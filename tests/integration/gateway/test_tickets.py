"""WebSocket tickets over HTTP."""

import pytest

from contracts.auth.credentials import Scope
from tests.integration.gateway.conftest import ALICE, Gateway
from tests.kit.scripted import Script
from tests.kit.scripted_auth import key_id

TICKETS = "/api/v1/ws-tickets"
PAGE = "https://app.example:8443"


@pytest.mark.requirement("B-80")
async def test_websocket_ticket_is_bound_to_the_user_and_the_origin(gateway: Gateway, script: Script) -> None:
    answers = [
        await gateway.http.post(TICKETS, headers=ALICE),
        await gateway.http.post(TICKETS, headers=ALICE | {"Origin": PAGE}),
        await gateway.http.post(TICKETS, headers=ALICE, params={"origin": PAGE}),
    ]
    for answer, origin in zip(answers, (None, PAGE, PAGE), strict=True):
        assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
        body = answer.json()
        assert (body["expires_in"], body["url"]) == (30, f"wss://fleet.example/ws?ticket={body['ticket']}")
        made = script.auth.tickets[body["ticket"]]
        assert (made.origin, made.principal.user_id, made.principal.key_id) == (
            origin, script.alice, key_id("alice-key"),
        )  # fmt: skip


@pytest.mark.requirement("B-80")
@pytest.mark.parametrize(
    "origin", ["null", "https://app.example/", "*", "https://app.example, https://b.example", "a b"]
)
async def test_ticket_for_an_invalid_origin_is_refused(
    shared_gateway: Gateway, shared_script: Script, origin: str
) -> None:
    by_page = await shared_gateway.http.post(TICKETS, headers=ALICE | {"Origin": origin})
    named = await shared_gateway.http.post(TICKETS, headers=ALICE, params={"origin": origin})
    for answer in (by_page, named):
        assert (answer.status_code, answer.json()["code"]) == (422, "request.invalid")
        assert [error["pointer"] for error in answer.json()["errors"]] == ["/origin"]
    assert shared_script.auth.tickets == {}


async def test_ticket_requires_the_scope_to_read_jobs(gateway: Gateway, script: Script) -> None:
    script.auth.scopes["alice-key"] = (Scope.JOBS_WRITE,)
    assert (await gateway.http.post(TICKETS, headers=ALICE)).status_code == 403
    assert (await gateway.http.post(TICKETS)).status_code == 401
