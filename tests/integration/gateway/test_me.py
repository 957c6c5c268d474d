"""The response of ``GET /api/v1/auth/me``, and which requests the gateway sends to other services for it."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

from tests.integration.gateway.conftest import ALICE, Gateway
from tests.integration.gateway.real_auth import House, Uses, bearer
from tests.kit.scripted import Script
from tests.kit.waiting import until

ME = "/api/v1/auth/me"


async def eager(house: House) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a user whose rate limit no test reaches, and the Authorization header of a session."""
    user = await house.account()
    limits = {"limits": {"requests_per_minute": 100_000}}
    await house.http.patch(f"/api/v1/admin/users/{user['id']}", headers=house.admin, json=limits)
    return user, bearer(await house.session(user["username"]))


async def test_me_shows_usage_and_remaining_quota(house: House) -> None:
    user, session = await house.user()
    house.uses.used[UUID(user["id"])] = 4
    me = (await house.http.get(ME, headers=session)).json()
    assert me.items() >= user.items()
    assert me["limits"] == {
        "images_per_day": 10, "max_running": 1, "queue_cap": 10, "weight": 1, "requests_per_minute": 30,
        "result_days": 7, "upload_days": 1, "graph_policy": "strict", "graph_nodes": 500, "graph_text_bytes": 262_144,
        "graph_pixels": 268_435_456, "graph_steps": 200, "graph_pixel_steps": 20_000_000_000, "run_seconds": 900,
        "gpu_seconds_per_day": None, "result_bytes": None, "upload_bytes": 50_000_000, "start_seconds": None,
    }  # fmt: skip
    assert (me["used_today"], me["left_today"], me["running"], me["queued"]) == (4, 6, 1, 2)
    assert me["resets_at"].endswith("Z")


async def test_me_route_refuses_other_methods(house: House) -> None:
    _, session = await house.user()
    for method in ("POST", "HEAD"):
        answer = await house.http.request(method, ME, headers=session)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, DELETE"), method
    assert (await house.http.get(f"{ME}/", headers=session)).status_code == 404


async def test_me_without_a_limit_shows_no_remaining_quota(house: House) -> None:
    _, session = await house.user()
    house.uses.limit = None
    try:
        assert (await house.http.get(ME, headers=session)).json()["left_today"] is None
    finally:
        house.uses.limit = 10


async def test_concurrent_me_requests_share_one_scheduler_request(house: House) -> None:
    _, session = await eager(house)
    asked = house.uses.asked
    answers = await asyncio.gather(*(house.http.get(ME, headers=session) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert house.uses.asked - asked <= 2


async def test_me_without_usage_data_is_unavailable_during_a_scheduler_outage(gateway: Gateway, script: Script) -> None:
    answer = await gateway.http.get(ME, headers=ALICE)  # the fake scheduler does not serve usage
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert script.alice


async def test_own_submission_updates_usage_at_once(gateway: Gateway, script: Script) -> None:
    uses, job = Uses(gateway.nats_url), script.scheduler.add(script.alice, uuid4())
    await uses.start()
    try:
        for used, (path, body) in enumerate(
            [
                ("/jobs", {"prompt": "a"}),
                ("/jobs/batch", {"jobs": [{"prompt": "a"}]}),
                (f"/jobs/{job.job_id}/cancel", None),
            ]
        ):
            assert (await gateway.http.get(ME, headers=ALICE)).json()["used_today"] == used
            uses.used[script.alice] = used + 1
            answer = await gateway.http.post(f"/api/v1{path}", headers=ALICE, json=body)
            assert answer.is_success, answer.text
            assert (await gateway.http.get(ME, headers=ALICE)).json()["used_today"] == used + 1
    finally:
        await uses.stop()


async def test_cached_usage_is_served_during_a_scheduler_outage(house: House) -> None:
    user, session = await eager(house)
    house.uses.used[UUID(user["id"])] = 4
    assert (await house.http.get(ME, headers=session)).json()["used_today"] == 4
    house.uses.used[UUID(user["id"])] = 5
    asked = house.uses.asked

    async def asked_again() -> bool:
        me = (await house.http.get(ME, headers=session)).json()
        return bool(me["used_today"] == 5) and house.uses.asked > asked

    await until(asked_again)
    await house.uses.stop()
    try:
        assert (await house.http.get(ME, headers=session)).json()["used_today"] == 5
        _, stranger = await house.user()
        assert (await house.http.get(ME, headers=stranger)).status_code == 503
    finally:
        await house.uses.start()
