"""kill -9 in the middle of a purge or an erasure, at each point between two steps.

A lock that the test holds in a service's database keeps the service at the point where it is killed.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from tests.e2e.test_deletion import database_of, files_of, finished, rows_with
from tests.e2e.test_identity import PASSWORD, bearer, new_key, registered, slow
from tests.kit.fleet import HELLO, Fleet, is_processing
from tests.kit.freezing import freeze
from tests.kit.waiting import until

pytestmark = pytest.mark.chaos

AFTER_PURGE = {"gateway.purged_jobs", "notifier.purged_jobs", "scheduler.outbox"}
AFTER_ERASURE = {"auth.users", "auth.changes", "auth.erasures", "auth.audit_log", "scheduler.outbox",
                 "gateway.purged_jobs", "gateway.rate_buckets"}  # fmt: skip


@dataclass
class LockedRows:
    """Locked rows of a service; ``sql`` runs in the transaction that holds the lock."""

    sql: asyncpg.Connection

    async def is_awaited(self) -> bool:
        """Return whether the service waits for the lock."""
        return bool(await self._select_waiting_backends("count(*)"))

    async def unlock(self) -> None:
        """Release the lock."""
        await self.sql.execute("ROLLBACK")

    async def terminate_waiting_backends(self) -> None:
        """Terminate the waiting backends of a killed service, so that PostgreSQL does not run their statements."""
        await self._select_waiting_backends("bool_and(pg_terminate_backend(pid))")

    async def _select_waiting_backends(self, what: str) -> Any:
        await self.sql.execute("SELECT pg_stat_clear_snapshot()")  # it is cached per transaction
        who = "datname = current_database() AND wait_event_type = 'Lock'"
        return await self.sql.fetchval(f"SELECT {what} FROM pg_stat_activity WHERE {who}")  # noqa: S608 - ours


@asynccontextmanager
async def open_transaction(fleet: Fleet, service: str) -> AsyncIterator[LockedRows]:
    """Open a transaction in the database of a service. The block locks rows with it."""
    sql = await asyncpg.connect(database_of(fleet, service))
    try:
        await sql.execute("BEGIN")
        yield LockedRows(sql)
    finally:
        await sql.close()  # also rolls the transaction back


@asynccontextmanager
async def lock_rows(fleet: Fleet, service: str, rows: str, *values: Any) -> AsyncIterator[LockedRows]:
    """Lock rows of a service, given as the clause after FROM."""
    async with open_transaction(fleet, service) as locked:
        assert await locked.sql.fetch(f"SELECT 1 FROM {rows} FOR UPDATE", *values)  # noqa: S608 - ours
        yield locked


@asynccontextmanager
async def block_purges(fleet: Fleet, folders: list[Path]) -> AsyncIterator[LockedRows]:
    """Block the gateway's first step of a purge, the insertion of the job.

    ``folders``: the jobs' folders in the artifact store, ``<tenant id>/<job id>``.
    """
    rows = [(UUID(folder.name), UUID(folder.parent.name)) for folder in folders]
    async with open_transaction(fleet, "gateway") as locked:
        await locked.sql.executemany("INSERT INTO purged_jobs (job_id, tenant_id) VALUES ($1, $2)", rows)
        yield locked


async def wait_until_all_replaced(fleet: Fleet, killed: dict[str, int]) -> None:
    for part, pid in killed.items():
        await fleet.wait_until_replaced(part, pid)


async def is_gone(fleet: Fleet, word: str, *, but: set[str]) -> None:
    """Wait until no file and no tables but these contain a value."""

    async def gone() -> bool:
        return not files_of(fleet, word) and await rows_with(fleet, word) <= but

    await until(gone, within_s=60)


@pytest.mark.requirement("F-169")
async def test_purged_bytes_are_deleted_although_gateway_and_scheduler_are_killed(fragile: Fleet) -> None:
    artifacts = fragile.state / "artifacts"
    async with fragile.client() as client:
        jobs = [await finished(fragile, client) for _ in range(3)]
        folders = [path for job_id in jobs for path in artifacts.glob(f"*/{job_id}")]
        assert len(folders) == 3
        async with block_purges(fragile, folders) as purges:
            for job_id in jobs:
                assert (await client.delete(f"/jobs/{job_id}", params={"purge": True})).status_code == 204
            await until(purges.is_awaited)
            killed = {part: fragile.kill(part) for part in ("scheduler", "gateway")}
            await purges.terminate_waiting_backends()
            assert all(path.exists() for path in folders)  # killed after the commit, before the deletion
    await wait_until_all_replaced(fragile, killed)
    await until(lambda: not any(path.exists() for path in folders), within_s=60)
    async with fragile.client() as client:
        for job_id in jobs:

            async def is_unknown(job_id: str = job_id) -> bool:
                try:
                    return (await client.get(f"/jobs/{job_id}")).status_code == 404
                except httpx.HTTPError:
                    return False

            await until(is_unknown, within_s=30)


async def test_purge_event_is_published_although_the_scheduler_was_killed(fragile: Fleet) -> None:
    async with fragile.client() as client:
        job_id = await finished(fragile, client)
        async with lock_rows(fragile, "scheduler", "jobs WHERE id = $1", UUID(job_id)) as job:
            purging = asyncio.create_task(client.delete(f"/jobs/{job_id}", params={"purge": True}))
            await until(job.is_awaited)
            freeze(fragile.pid("nats"))  # from now on the scheduler publishes nothing
            await job.unlock()

            async def is_committed() -> bool:
                return not await job.sql.fetchval("SELECT count(*) FROM jobs WHERE id = $1", UUID(job_id))

            await until(is_committed)
            killed = {part: fragile.kill(part) for part in ("scheduler", "nats")}
            told = "SELECT published_at FROM outbox WHERE subject LIKE 'evt.scheduler.job.purged.%' || $1"
            assert [row["published_at"] for row in await job.sql.fetch(told, job_id)] == [None]
        assert files_of(fragile, job_id)
        with suppress(httpx.HTTPError):
            assert (await purging).status_code == 503
        await wait_until_all_replaced(fragile, killed)
        await is_gone(fragile, job_id, but=AFTER_PURGE)


async def test_purge_continues_after_a_kill_between_bytes_and_rows(fragile: Fleet) -> None:
    async with fragile.client() as client:
        job_id = await finished(fragile, client)
        async with lock_rows(fragile, "gateway", "artifacts WHERE job_id = $1", UUID(job_id)) as rows:
            assert (await client.delete(f"/jobs/{job_id}", params={"purge": True})).status_code == 204
            await until(rows.is_awaited)
            assert not files_of(fragile, job_id)
            killed = {"gateway": fragile.kill("gateway")}
            await rows.terminate_waiting_backends()
            assert "gateway.artifacts" in await rows_with(fragile, job_id)
        await wait_until_all_replaced(fragile, killed)
        await is_gone(fragile, job_id, but=AFTER_PURGE)


@pytest.mark.requirement("S-84")
async def test_account_is_erased_although_every_service_is_killed_before_and_during_it(fragile: Fleet) -> None:
    async with fragile.client("") as public:
        person = await registered(public, "mortal")
        await asyncio.to_thread(partial(fragile.set_limits, person["id"], graph_policy="open"))
        await asyncio.to_thread(fragile.lift_rate_limit, person["id"])
        tenant, parts = UUID(person["id"]), ("auth", "gateway", "scheduler")
        async with fragile.client((await new_key(public, person))["key"]) as own:
            done = await finished(fragile, own)
            assert (await own.put("/workflows/mine", json={"workflow": HELLO})).status_code == 201
            running = (await fragile.submit(own, workflow=slow(60)))["job_id"]
            await until(partial(is_processing, own, running))
        async with (
            lock_rows(fragile, "scheduler", "tenants WHERE id = $1", tenant) as limits,
            lock_rows(fragile, "gateway", "workflows WHERE tenant_id = $1", tenant) as workflows,
        ):
            proof = {"password": PASSWORD}
            erased = await public.request("DELETE", "/auth/me", json=proof, headers=bearer(person))
            assert erased.status_code == 204, erased.text
            await wait_until_all_replaced(fragile, {part: fragile.kill(part) for part in parts})

            async def are_awaited() -> bool:  # both at the same time, because a service that waits too long starts over
                return await limits.is_awaited() and await workflows.is_awaited()

            await until(are_awaited, within_s=60)  # services that start later are notified too
            killed = {part: fragile.kill(part) for part in parts}
            for locked in (limits, workflows):
                await locked.terminate_waiting_backends()
            assert not files_of(fragile, person["id"])
            left = await rows_with(fragile, person["id"])
            assert left >= {"scheduler.tenants", "scheduler.jobs", "gateway.artifacts", "gateway.workflows"}
        await wait_until_all_replaced(fragile, killed)
    await is_gone(fragile, person["id"], but=AFTER_ERASURE)
    for job_id in (done, running):
        await is_gone(fragile, job_id, but=AFTER_PURGE)
    assert await rows_with(fragile, person["username"]) == set()
