"""Job submissions of a tenant whose stored results have reached the limit of its tier."""

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import asyncpg
import httpx
import pytest

from contracts.auth.tiers import TierLimits
from contracts.scheduler.jobs import JobState, JobWarning
from tests.integration.gateway.conftest import ALICE, BOB, Gateway
from tests.integration.gateway.test_inputs import uploaded
from tests.kit.scripted import Script
from tests.kit.waiting import until

GRAPH = {"1": {"class_type": "SaveImage", "inputs": {}}}
MIB = 1 << 20


@pytest.fixture
async def sql(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    yield connection
    await connection.close()


async def stored(sql: asyncpg.Connection, script: Script, size: int) -> None:
    """Record an output of this size for Alice."""
    await sql.execute(
        "INSERT INTO artifacts (id, tenant_id, job_id, attempt, key, content_type, size_bytes, sha256)"
        " VALUES ($1, $2, $1, 1, 'k', 'image/png', $3, $4)",
        uuid4(),
        script.alice,
        size,
        "0" * 64,
    )


async def limit(script: Script, size: int) -> None:
    """Set the limit of Alice's stored results, in bytes."""
    user = script.auth.user(script.alice)
    limits = user.limits.model_copy(update={"result_bytes": size})
    script.auth.users[script.alice] = replace(user, limits=limits)
    await script.publish_change(TierLimits(tier=user.tier, limits=limits))


async def submit(gateway: Gateway, headers: dict[str, str] = ALICE, **more: str) -> httpx.Response:
    return await gateway.http.post("/api/v1/jobs", headers=headers | more, json={"workflow": GRAPH})


async def test_submissions_are_refused_while_result_storage_is_full(
    gateway: Gateway, script: Script, sql: asyncpg.Connection
) -> None:
    await limit(script, MIB)
    await stored(sql, script, MIB)
    refused = await submit(gateway)
    assert (refused.status_code, refused.json()["code"]) == (403, "quota.result_bytes_exceeded")
    assert str(MIB) in refused.json()["detail"]
    assert "Purge jobs" in refused.json()["detail"]
    assert script.scheduler.submits == []
    assert (await submit(gateway, BOB)).status_code == 201, "other tenants are not affected"
    await sql.execute("DELETE FROM artifacts WHERE tenant_id = $1", script.alice)
    assert (await submit(gateway)).status_code == 201


async def test_submissions_are_accepted_below_the_result_storage_limit(
    gateway: Gateway, script: Script, sql: asyncpg.Connection
) -> None:
    await limit(script, MIB)
    await stored(sql, script, MIB - 1)
    assert (await submit(gateway)).status_code == 201


async def test_replay_of_an_accepted_job_works_with_full_storage(
    gateway: Gateway, script: Script, sql: asyncpg.Connection
) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    first = await submit(gateway, ALICE | key)
    assert first.status_code == 201
    await stored(sql, script, MIB)
    await limit(script, MIB)

    async def refused() -> bool:
        return (await submit(gateway)).status_code == 403

    await until(refused)
    again = await submit(gateway, ALICE | key)
    assert again.json()["job_id"] == first.json()["job_id"]


async def test_scheduler_receives_the_size_of_referenced_uploads(gateway: Gateway, script: Script) -> None:
    upload = await uploaded(gateway, "red")
    graph = {"1": {"class_type": "LoadImage", "inputs": {"image": upload}}}
    answer = await gateway.http.post("/api/v1/jobs", headers=ALICE, json={"workflow": graph})
    assert answer.status_code == 201
    (asked,) = script.scheduler.submits
    assert [str(one) for one in asked.inputs] == [upload]
    assert asked.input_sizes == ((16, 8),)


async def test_job_response_contains_warnings(gateway: Gateway, script: Script) -> None:
    warning = JobWarning(code="quota.images_exceeded", message="2 of 3 outputs were not stored.")
    job = script.scheduler.add(script.alice, uuid4(), state=JobState.SUCCEEDED, warnings=(warning,))
    shown = (await gateway.http.get(f"/api/v1/jobs/{job.job_id}", headers=ALICE)).json()
    assert shown["warnings"] == [{"code": warning.code, "message": warning.message}]
