"""Requests are counted once by user, path template and day, and reported with the usage of jobs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from chassis.database.postgres import Database
from chassis.ids import new_id
from contracts.gateway.nats_api import NATS_SUBMIT_JOB
from contracts.scheduler.usage import EndpointUsage, UsageDay
from gateway.usage.request_counts import RequestCounts
from gateway.usage.store import RequestCountBatch, RequestUsageStore
from tests.integration.gateway.conftest import ALICE, BOB, Gateway, settings_for, until_ready
from tests.integration.gateway.long_timeouts import client_with_long_timeout, create_app_with_long_timeouts
from tests.integration.gateway.test_nats_surface import ask
from tests.kit.fleet import HELLO
from tests.kit.nats import NatsServer
from tests.kit.postgres import database_with_long_timeout
from tests.kit.scripted import Script
from tests.kit.serving import serving
from tests.kit.waiting import until, wait_if_midnight_is_near

JOB = "GET /api/v1/jobs/{job_id}"


@pytest.fixture(autouse=True)
async def no_day_begins() -> None:
    """Wait if midnight UTC is near, because requests are counted by day."""
    await wait_if_midnight_is_near()


@asynccontextmanager
async def gateway_at(nats_url: str, url: str, folder: Path, flush_s: float) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app_with_long_timeouts(settings_for(nats_url, url, folder, usage_flush_s=flush_s))
    async with serving(app) as at, client_with_long_timeout(at) as http:
        await until_ready(http)
        yield http


async def endpoints(http: httpx.AsyncClient, who: dict[str, str]) -> dict[str, int]:
    days = (await http.get("/api/v1/usage", headers=who)).json()["usage"]
    counted: dict[str, int] = {}
    for day in days:
        for endpoint, number in day["endpoints"].items():
            counted[endpoint] = counted.get(endpoint, 0) + number["requests"]
    return counted


async def test_requests_are_counted_per_user_by_route_template(
    nats_server: NatsServer, database_url: str, script: Script, tmp_path: Path
) -> None:
    today = datetime.now(UTC).date()
    shares = {"POST /api/v1/jobs/batch": EndpointUsage(images=4, gpu_seconds=1.23456)}
    used = UsageDay(day=today, jobs=2, images=5, gpu_seconds=1.5, endpoints=shares)
    earlier = UsageDay(day=today - timedelta(days=2), jobs=1, images=1, gpu_seconds=0.5)
    script.scheduler.used[str(script.alice)] = (used, earlier)
    async with gateway_at(nats_server.url, database_url, tmp_path, 0.1) as http:
        for number in range(5):
            assert (await http.get(f"/api/v1/jobs/{uuid4()}", headers=ALICE)).status_code == 404
            await http.head("/api/v1/jobs/x/result", headers=ALICE)
            await http.get(f"/nowhere/{number}", headers=ALICE)  # no such route
            await http.patch("/api/v1/jobs", headers=ALICE)  # no such method of the route
            await http.get("/api/v1/jobs", headers={"X-API-Key": f"nobodys-{number}"})
        await http.get("/api/v1/jobs", headers=BOB)

        async def counted() -> bool:
            found = await endpoints(http, ALICE)
            return found.get(JOB) == 5 and found.get("GET /api/v1/jobs/{job_id}/result") == 5

        await until(counted)
        found = await endpoints(http, ALICE)
        assert set(found) <= {JOB, "GET /api/v1/jobs/{job_id}/result", "GET /api/v1/usage", "POST /api/v1/jobs/batch"}

        async def bobs() -> bool:
            return (await endpoints(http, BOB)).get("GET /api/v1/jobs") == 1

        await until(bobs)
        body: dict[str, Any] = (await http.get("/api/v1/usage", headers=ALICE)).json()
        shown = [str(day["day"]) for day in body["usage"]]
        assert shown == sorted(shown, reverse=True)
        assert {str(today), str(earlier.day)} <= {*shown}
        day = next(day for day in body["usage"] if day["day"] == str(today))
        assert (day["jobs"], day["images"], day["gpu_seconds"]) == (2, 5, 1.5)
        assert day["requests"] == sum(endpoint["requests"] for endpoint in day["endpoints"].values())
        assert day["endpoints"]["POST /api/v1/jobs/batch"] == {"requests": 0, "images": 4, "gpu_seconds": 1.235}
        assert day["endpoints"][JOB] == {"requests": 5, "images": 0, "gpu_seconds": 0.0}
        for days in ("0", "91", "x"):
            assert (await http.get("/api/v1/usage", params={"days": days}, headers=ALICE)).status_code == 422


async def test_job_records_the_endpoint_its_request_is_counted_under(
    nats_server: NatsServer, database_url: str, script: Script, tmp_path: Path
) -> None:
    async with gateway_at(nats_server.url, database_url, tmp_path, 0.1) as http:
        saved = await http.put("/api/v1/workflows/plain", json={"workflow": HELLO}, headers=ALICE)
        assert saved.status_code in {200, 201}, saved.text
        for path, body in (
            ("/jobs", {"prompt": "a"}),
            ("/jobs/batch", {"jobs": [{"prompt": "b"}, {"prompt": "c"}]}),
            ("/workflows/plain/jobs", {}),
            ("/generate", {"prompt": "d"}),
        ):
            answer = await http.post(f"/api/v1{path}", json=body, headers=ALICE | {"Prefer": "wait=1"})
            assert answer.is_success, answer.text
        here = Gateway(http, str(http.base_url), tmp_path, nats_server.url)
        await ask(here, NATS_SUBMIT_JOB.subject(str(script.alice)), b'{"prompt": "e"}')
        came = [asked.endpoint for asked in script.scheduler.submits]
        assert came == [
            "POST /api/v1/jobs",
            "POST /api/v1/jobs/batch",
            "POST /api/v1/jobs/batch",
            "POST /api/v1/workflows/{workflow_name}/jobs",
            "POST /api/v1/generate",
            None,
        ]

        async def counted() -> bool:
            return {name for name in came if name} <= set(await endpoints(http, ALICE))

        await until(counted)


async def test_request_counts_are_flushed_on_shutdown(
    nats_server: NatsServer, database_url: str, script: Script, tmp_path: Path
) -> None:
    assert script.alice
    async with gateway_at(nats_server.url, database_url, tmp_path, 60) as http:
        before = (await endpoints(http, ALICE)).get("GET /api/v1/models", 0)
        for _ in range(7):
            assert (await http.get("/api/v1/models", headers=ALICE)).status_code == 200
        assert (await endpoints(http, ALICE)).get("GET /api/v1/models", 0) == before
    async with gateway_at(nats_server.url, database_url, tmp_path, 60) as http:
        assert (await endpoints(http, ALICE))["GET /api/v1/models"] == before + 7


@pytest.fixture
async def usage(database_url: str) -> AsyncIterator[RequestUsageStore]:
    database = database_with_long_timeout(database_url)
    yield RequestUsageStore(database)
    await database.close()


@pytest.mark.requirement("table gateway.usage_requests", "table gateway.usage_batches")
async def test_count_flush_is_idempotent_under_concurrency(usage: RequestUsageStore) -> None:
    users = [uuid4() for _ in range(20)]
    today = datetime.now(UTC).date()
    batches = [
        RequestCountBatch(new_id(), {(user, today, "GET /x"): 1 for user in order})
        for order in (users, users[::-1]) * 5
    ]
    await asyncio.gather(*(usage.add_batch(batch) for batch in batches * 3))
    await usage.delete_old(keep=90)  # deletes old days, but no batch that may be added again
    await usage.add_batch(batches[0])
    for user in users:
        assert await usage.read_requests(user, days=1) == {today: {"GET /x": 10}}


async def test_usage_is_kept_for_ninety_days(usage: RequestUsageStore, database_url: str) -> None:
    await wait_if_midnight_is_near()
    sql = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    try:
        user, today = uuid4(), datetime.now(UTC).date()
        days = [today - timedelta(days=ago) for ago in (0, 1, 89, 90, 400)]
        await usage.add_batch(RequestCountBatch(new_id(), {(user, day, "GET /x"): 1 for day in days}))
        shown = [set(await usage.read_requests(user, days=number)) for number in (90, 2)]
        await usage.delete_old(keep=90)
        kept = await sql.fetch("SELECT day FROM usage_requests WHERE user_id = $1", user)
    finally:
        await sql.close()
    assert shown == [set(days[:3]), set(days[:2])]
    assert {row["day"] for row in kept} == set(days[:3])


async def test_request_counts_survive_a_database_outage(usage: RequestUsageStore) -> None:
    nowhere = Database("postgresql+asyncpg://nobody@127.0.0.1:1/none", name="test")
    counts = RequestCounts(RequestUsageStore(nowhere))
    user = uuid4()
    for _ in range(3):
        counts.count_request(user, "GET", "/x")
        with pytest.raises(ConnectionRefusedError):
            await counts.flush()
    await counts.stop()  # logs the lost counts and returns
    await nowhere.close()
    counts._usage = usage
    await counts.flush()
    (today,) = (await usage.read_requests(user, days=1)).values()
    assert sum(today.values()) == 3
