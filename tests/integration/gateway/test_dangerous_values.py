"""Strings that are valid here but dangerous to other systems, and invalid dates."""

from typing import Any

import pytest

from tests.integration.gateway.conftest import ALICE, Gateway
from tests.integration.gateway.real_auth import House
from tests.kit.scripted import Script

KEYS = "/api/v1/auth/keys"
TEXTS = [
    "'; DROP TABLE users; --", '" OR ""="', "{{7*7}}", "${jndi:ldap://127.0.0.1/a}", "$(reboot)", "`id`", "%n%s%x",
    "*)(uid=*))(|(uid=*", "<script>alert(1)</script>", "../../etc/passwd", '{"$gt": ""}', "__proto__", "constructor",
]  # fmt: skip


@pytest.mark.requirement("B-15", "B-12")
@pytest.mark.parametrize("text", TEXTS)
async def test_hostile_text_is_stored_literally(house: House, text: str) -> None:
    _, session = await house.user()
    for name in (text, f"{text} \U0001f680 \u00e9 e\u0301"):  # the last two characters look alike but differ
        made = await house.http.post(KEYS, headers=session, json={"name": name})
        assert (made.status_code, made.json().get("name")) == (201, name)
    listed = (await house.http.get(KEYS, headers=session)).json()["keys"]
    assert sum(text in key["name"] for key in listed) == 2


@pytest.mark.requirement("B-15")
async def test_labels_and_prompts_reach_the_scheduler_unchanged(gateway: Gateway, script: Script) -> None:
    for text in TEXTS:
        body: dict[str, Any] = {"prompt": text, "labels": {text: text}}
        answer = await gateway.http.post("/api/v1/jobs", headers=ALICE, json=body)
        assert (answer.status_code, answer.json()["labels"]) == (201, {text: text})
        submitted = script.scheduler.submits[-1]
        assert submitted.labels == {text: text}
        assert text in [node["inputs"].get("text") for node in submitted.graph.values()]


@pytest.mark.requirement("B-15")
@pytest.mark.parametrize("text", TEXTS)
async def test_search_text_is_matched_literally(house: House, text: str) -> None:
    await house.user()
    answer = await house.http.get("/api/v1/admin/users", params={"search": text}, headers=house.admin)
    assert (answer.status_code, answer.json()["users"]) == (200, [])


@pytest.mark.requirement("B-19", "B-36")
@pytest.mark.parametrize(
    "date",
    [
        "0000-01-01T00:00:00Z", "9999999-01-01T00:00:00Z", "-1-01-01T00:00:00Z", "2027-02-30T00:00:00Z", "infinity",
        "2027-01-01T00:00:00+99:99", "2027-01-01T00:00:00-99:99", "2027-13-01T00:00:00Z", "2027-01-01", "tomorrow", "",
        "1999-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2027-01-01T25:00:00Z", "2027-01-01T00:00:00", 0, -1, 1e300,
    ],
)  # fmt: skip
async def test_invalid_and_distant_dates_are_refused(house: House, date: Any) -> None:
    answer = await house.http.post(KEYS, headers=house.admin, json={"name": "k", "expires_at": date})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/expires_at"
