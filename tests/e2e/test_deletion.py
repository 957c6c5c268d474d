"""Deleted data is gone from the API, the databases and the disk of every service."""

import asyncio
import hashlib
import json
import os
import zipfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests.e2e.conftest import simulated_only
from tests.e2e.test_cli import REFUSED, Person
from tests.e2e.test_identity import PASSWORD, bearer, new_key, registered, slow
from tests.e2e.test_uploads_in_jobs import png, upload
from tests.kit.commands import Commands
from tests.kit.fleet import HELLO, Fleet, is_processing
from tests.kit.retrying_fleet import RetryingTransport
from tests.kit.waiting import until

DATABASES = ("auth", "gateway", "scheduler", "notifier")
# These rows remain for a while: they record a deletion, or are needed to republish it if a stream is lost.
STAYS_OF_A_JOB = {"gateway.purged_jobs", "notifier.purged_jobs", "scheduler.outbox"}
STAYS_OF_A_TENANT = {
    *("auth.users", "auth.changes", "auth.erasures", "auth.audit_log"),
    *("scheduler.outbox", "gateway.purged_jobs", "gateway.rate_buckets"),
}
PICTURE = {"prompt": "a canary in a coal mine", "width": 64, "height": 64, "steps": 1}

pytestmark = simulated_only


async def rows_with(fleet: Fleet, word: str) -> set[str]:
    """Return the tables of all services that contain this value."""
    found = set()
    for service in DATABASES:
        sql = await asyncpg.connect(database_of(fleet, service))
        try:
            for table in await sql.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
                query = f'SELECT EXISTS (SELECT 1 FROM "{table["tablename"]}" t WHERE t::text ILIKE $1)'  # noqa: S608 - their names
                if await sql.fetchval(query, f"%{word}%"):
                    found.add(f"{service}.{table['tablename']}")
        finally:
            await sql.close()
    return found


def database_of(fleet: Fleet, service: str) -> str:
    """Return the DSN of a service's database, with that service's login."""
    settings = (fleet.state / f"env/{service}.env").read_text().splitlines()
    return next(line.split("=", 1)[1] for line in settings if "DATABASE_URL=" in line).replace("+asyncpg", "")


def files_of(fleet: Fleet, word: str) -> list[Path]:
    folders = os.walk(fleet.state / "artifacts")  # ignores files that are deleted during the search
    return [
        Path(folder) / name for folder, names, files in folders for name in (*names, *files) if word in folder + name
    ]


async def finished(fleet: Fleet, client: httpx.AsyncClient, **more: Any) -> str:
    job = await fleet.submit(client, **PICTURE, **more)
    assert (await fleet.wait_until_ended(client, job["job_id"]))["status"] == "completed"
    return str(job["job_id"])


@pytest.mark.requirement("DELETE /api/v1/jobs/{job_id}", "job.purge")
async def test_purged_job_leaves_no_trace(fleet: Fleet, client: httpx.AsyncClient) -> None:
    # without an idempotency key, because its record would outlive the purge
    async with fleet.client(transport=RetryingTransport(with_keys=False)) as without_key:
        job_id = await finished(fleet, without_key, labels={"campaign": "canary"})
    assert files_of(fleet, job_id)

    async def is_everywhere() -> bool:
        return await rows_with(fleet, job_id) >= {"gateway.artifacts", "notifier.job_events", "scheduler.graphs"}

    await until(is_everywhere)
    async with fleet.client(fleet.credentials["admin_key"]) as other:
        assert (await other.delete(f"/jobs/{job_id}", params={"purge": True})).status_code == 404
    assert (await client.delete(f"/jobs/{job_id}", params={"purge": True})).status_code == 204
    assert (await client.delete(f"/jobs/{job_id}", params={"purge": True})).status_code == 404
    for path in ("", "/result", "/outputs", "/events"):
        assert (await client.get(f"/jobs/{job_id}{path}")).status_code == 404

    async def gone() -> bool:
        return not files_of(fleet, job_id) and await rows_with(fleet, job_id) <= STAYS_OF_A_JOB

    await until(gone)
    with pytest.raises(InvalidStatus) as caught:
        async with fleet.watch(job_id):
            pass
    assert caught.value.response.status_code == 404
    listed = (await client.get("/jobs", params={"limit": 100})).json()["jobs"]
    assert job_id not in {job["job_id"] for job in listed}


async def test_ended_jobs_are_purged_when_retention_is_shortened(fleet: Fleet) -> None:
    async with fleet.client("") as http, fleet.client(fleet.credentials["admin_key"]) as admin:
        person = await registered(http, "brief")
        await asyncio.to_thread(fleet.lift_rate_limit, person["id"])
        key = await new_key(http, person)
        async with fleet.client(key["key"]) as own:
            old, young = await finished(fleet, own), await finished(fleet, own)
            sql = await asyncpg.connect(database_of(fleet, "scheduler"))
            try:
                back = "UPDATE jobs SET completed_at = now() - interval '3 days' WHERE id = $1"
                await sql.execute(back, UUID(old))
            finally:
                await sql.close()
            path = f"/admin/users/{person['id']}"
            wrong = await admin.patch(path, json={"limits": {"result_days": 0}})
            assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/limits/result_days")
            limits = {"result_days": 2, "requests_per_minute": 100_000}
            changed = await admin.patch(path, json={"limits": limits})
            assert changed.json()["limits"]["result_days"] == 2, changed.text

            async def gone() -> bool:
                return (await own.get(f"/jobs/{old}")).status_code == 404 and not files_of(fleet, old)

            await until(gone)
            assert (await own.get(f"/jobs/{young}")).status_code == 200


@pytest.mark.requirement("DELETE /api/v1/admin/users/{user_id}")
async def test_erasing_a_user_deletes_all_data_of_the_user(fleet: Fleet) -> None:
    async with fleet.client("") as http, fleet.client(fleet.credentials["admin_key"]) as admin:
        person, other = await registered(http, "erased"), await registered(http, "bystander")
        await asyncio.to_thread(fleet.lift_rate_limit, person["id"])
        key = await new_key(http, person)
        async with fleet.client(key["key"]) as own:
            await upload(own, png("blue"))
            job_id = await finished(fleet, own)
            path = f"/admin/users/{person['id']}"
            assert (await http.delete(path, headers=bearer(other))).status_code == 403
            assert (await own.get(f"/jobs/{job_id}")).status_code == 200
            assert (await admin.delete(path)).status_code == 204
            again = await admin.delete(path)
            assert (again.status_code, again.json()["code"]) == (404, "auth.user.not_found")
            assert (await admin.get(path)).status_code == 404

            async def is_out() -> bool:
                return (await own.get("/jobs")).status_code in {401, 403}

            await until(is_out)

    async def gone() -> bool:
        return not files_of(fleet, person["id"]) and not await rows_with(fleet, person["username"])

    await until(gone, within_s=60)


@pytest.mark.requirement("GET /api/v1/auth/me/export")
async def test_export_contains_exactly_the_users_own_data(fleet: Fleet, tmp_path: Path, commands: Commands) -> None:
    async with fleet.client("") as http:
        ada, bob = await registered(http, "ada"), await registered(http, "bob")
        for person in (ada, bob):
            await asyncio.to_thread(fleet.lift_rate_limit, person["id"])
        jobs = {}
        for person in (ada, bob):
            key = await new_key(http, person)
            async with fleet.client(key["key"]) as own:
                picture = await upload(own, png("red"))
                jobs[person["id"]] = [await finished(fleet, own, labels={"of": person["username"]}) for _ in range(2)]
                name = person["username"].replace("-", "_")
                for number in range(2):
                    saved = {"workflow": HELLO, "description": f"{person['username']} {number}"}
                    assert (await own.put(f"/workflows/{name}", json=saved)).status_code in {200, 201}
        home = tmp_path / "ada"
        home.mkdir()
        shell = Person(fleet.base_url, home, commands)
        await shell.does("login", ada["username"], "--password-stdin", stdin=f"{PASSWORD}\n")
        await shell.does("account", "export", "-o", home / "mine.zip")
        by_key = await http.get("/auth/me/export", headers={"X-API-Key": key["key"]})
        assert (by_key.status_code, by_key.json()["code"]) == (403, "auth.session.needed")
    with zipfile.ZipFile(home / "mine.zip") as file:
        assert file.testzip() is None
        bytes_of = {name: file.read(name) for name in file.namelist()}
    texts = {name: content.decode() for name, content in bytes_of.items() if name.endswith(".jsonl")}
    found = {
        name.removesuffix(".jsonl"): [json.loads(line) for line in text.splitlines()] for name, text in texts.items()
    }
    assert [job["job_id"] for job in found["jobs"]] == jobs[ada["id"]][::-1]
    assert all(job["workflow_graph"] and job["outputs"] and job["labels"] for job in found["jobs"])
    outputs = {output["file"]: output["sha256"] for job in found["jobs"] for output in job["outputs"]}
    uploads = {one["file"]: one["sha256"] for one in found["uploads"]}
    assert (len(outputs), len(uploads)) == (2, 1)
    files = {name: hashlib.sha256(content).hexdigest() for name, content in bytes_of.items() if name not in texts}
    assert files == outputs | uploads
    assert sorted(one["version"] for one in found["workflows"]) == [1, 2]
    assert found["account"][0]["user"]["username"] == ada["username"]
    assert [key["name"] for key in found["keys"]] == ["e2e"]
    assert len(found["sessions"]) == 2
    assert sum(day["images"] for day in found["usage"]) == 2
    whole = "".join(texts.values())
    others = [
        bob["id"],
        bob["username"],
        bob["email"],
        *jobs[bob["id"]],
        picture,
        PASSWORD,
        ada["refresh_token"],
        "password_hash",
    ]
    assert [word for word in others if word in whole] == []


async def test_cli_purges_jobs_and_erases_the_account(fleet: Fleet, tmp_path: Path, commands: Commands) -> None:
    async with fleet.client("") as http:
        user = await registered(http, "shell")
        await asyncio.to_thread(fleet.lift_rate_limit, user["id"])
        await asyncio.to_thread(partial(fleet.set_limits, user["id"], graph_policy="open"))
        key = {"COMFYFLEET_KEY": (await new_key(http, user))["key"]}
    person, name = Person(fleet.base_url, tmp_path, commands), user["username"]
    async with fleet.client(key["COMFYFLEET_KEY"]) as own:
        done, waiting = await finished(fleet, own), await finished(fleet, own)
        running = (await fleet.submit(own, workflow=slow(60)))["job_id"]
        await until(partial(is_processing, own, running))
        refused = await person.runs("purge", running, **key)
        assert (refused.status, refused.out) == (REFUSED, b"")
        assert "Cancel it first" in refused.err
        # after the node has released the job
        assert (await person.does("cancel", running, "--purge", **key)).text == "cancelled"
        await person.does("purge", done, **key)
        assert (await person.runs("purge", done, **key)).status == REFUSED
        (listed,) = (await person.does("jobs", "--json", **key)).objects
        assert listed["job_id"] == waiting
        await until(lambda: not files_of(fleet, done) and not files_of(fleet, running))
        assert files_of(fleet, waiting)

        await person.does("login", name, "--password-stdin", stdin=f"{PASSWORD}\n")
        unsure = await person.runs("account", "erase", "--password-stdin", stdin="n\n")
        assert (unsure.status, unsure.text) == (1, "")
        assert name in unsure.err
        wrong = await person.runs("account", "erase", "--yes", "--password-stdin", stdin="not this one\n")
        assert (wrong.status, wrong.out) == (REFUSED, b"")
        assert (await person.does("whoami", "--json")).objects[0]["username"] == name
        assert name in (await person.does("account", "erase", "--yes", "--password-stdin", stdin=f"{PASSWORD}\n")).text
        assert not (person.home / "config" / "credentials.json").exists()
        again = await person.runs("login", name, "--password-stdin", stdin=f"{PASSWORD}\n")
        assert again.status == REFUSED
        await until(lambda: not files_of(fleet, user["id"]), within_s=60)


@pytest.mark.requirement("S-84", "DELETE /api/v1/auth/me")
async def test_erased_account_leaves_nothing(fleet: Fleet) -> None:
    async with fleet.client("") as http:
        person = await registered(http, "canary")
        await asyncio.to_thread(fleet.lift_rate_limit, person["id"])
        key = await new_key(http, person)
        session = bearer(person)
        async with fleet.client(key["key"]) as own:
            done = await finished(fleet, own)
            saved = {"workflow": {"1": {"class_type": "SaveImage", "inputs": {"filename_prefix": "canary"}}}}
            assert (await own.put("/workflows/canary", json=saved)).status_code == 201
            running = await fleet.submit(own, **PICTURE | {"steps": 150})
        name, tenant = person["username"], person["id"]
        assert {"auth.users", "gateway.artifacts", "gateway.workflows", "scheduler.jobs"} <= (
            await rows_with(fleet, name) | await rows_with(fleet, tenant)
        )
        assert (await http.request("DELETE", "/auth/me", json={"password": "x"}, headers=session)).status_code == 401
        by_key = await http.request(
            "DELETE", "/auth/me", json={"password": PASSWORD}, headers={"X-API-Key": key["key"]}
        )
        assert (by_key.status_code, by_key.json()["code"]) == (403, "auth.session.needed")
        erased = await http.request("DELETE", "/auth/me", json={"password": PASSWORD}, headers=session)
        assert erased.status_code == 204, erased.text

        async def is_out() -> bool:
            answers = [await http.get("/auth/me", headers=one) for one in (session, {"X-API-Key": key["key"]})]
            return all(answer.status_code in {401, 403} for answer in answers)

        await until(is_out)
        login = await http.post("/auth/login", json={"username": name, "password": PASSWORD})
        assert login.status_code == 401

        left: set[str] | None = None

        async def gone() -> bool:
            nonlocal left
            found = {str(path) for path in files_of(fleet, tenant)}
            found |= await rows_with(fleet, tenant) - STAYS_OF_A_TENANT
            for job_id in (done, running["job_id"]):
                found |= await rows_with(fleet, job_id) - STAYS_OF_A_JOB
            left = found
            return not left

        with suppress(TimeoutError):
            await until(gone, within_s=60)
        assert left == set()
        assert await rows_with(fleet, name) == set()
