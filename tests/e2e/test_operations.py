"""An operator at a shell drains nodes, holds, moves and reruns jobs; everything is counted and audited."""

import asyncio
import secrets
from typing import Any
from uuid import uuid4

import pytest

import nats
from contracts.permissions import inbox_prefix
from contracts.registry import JOB_EVENTS
from contracts.scheduler.attempts import FINISH_ATTEMPT
from contracts.scheduler.jobs import JOB_CHANGED
from tests.e2e.conftest import simulated_only
from tests.e2e.test_cli import REFUSED, Person, Said
from tests.e2e.test_identity import PASSWORD, slow
from tests.e2e.test_uploads_in_jobs import png, upload
from tests.kit.commands import Commands
from tests.kit.fleet import HELLO, Fleet
from tests.kit.retrying_fleet import RetryingTransport
from tests.kit.waiting import until

pytestmark = simulated_only


class Operator:
    """An admin at a shell."""

    def __init__(self, person: Person, key: str) -> None:
        self._person, self._key = person, {"COMFYFLEET_KEY": key}

    async def runs(self, *arguments: object) -> Said:
        return await self._person.runs("admin", *arguments, **self._key)

    async def does(self, *arguments: object) -> list[dict[str, Any]]:
        said = await self.runs(*arguments, "--json")
        assert said.status == 0, said.err
        return said.objects

    async def job(self, *arguments: object) -> dict[str, Any]:
        (job,) = await self.does(*arguments)
        return job


@pytest.fixture
def person(fleet: Fleet, tmp_path: Any, commands: Commands) -> Person:
    return Person(fleet.base_url, tmp_path, commands)


@pytest.fixture
def operator(fleet: Fleet, person: Person) -> Operator:
    return Operator(person, fleet.credentials["admin_key"])


async def somebody(fleet: Fleet, person: Person) -> tuple[str, dict[str, str]]:
    """Create a user of tier pro with graph policy open; returns its name and the environment with its key."""
    name = f"ops-{secrets.token_hex(4)}"
    await person.does("register", name, f"{name}@example.com", "--password-stdin", stdin=f"{PASSWORD}\n")
    await person.does("login", name, "--password-stdin", stdin=f"{PASSWORD}\n")
    key = (await person.does("keys", "create", "box")).text
    admin = fleet.credentials["admin_key"]
    await person.does("admin", "set-tier", name, "pro", COMFYFLEET_KEY=admin)
    await person.does("admin", "set-own-limits", name, "graph_policy=open", COMFYFLEET_KEY=admin)
    return name, {"COMFYFLEET_KEY": key}


@pytest.mark.requirement(
    "GET /api/v1/admin/nodes",
    "POST /api/v1/admin/nodes/{node}/drain",
    "GET /api/v1/usage",
    "GET /api/v1/admin/usage",
    "GET /api/v1/admin/users/{user_id}/usage",
    "usage.endpoint",
)
async def test_job_of_a_drained_node_runs_elsewhere_and_is_charged_once(
    fleet: Fleet, person: Person, operator: Operator
) -> None:
    name, key = await somebody(fleet, person)
    transport = RetryingTransport()
    async with fleet.client(key["COMFYFLEET_KEY"], transport=transport) as client:
        job_id = (await fleet.submit(client, workflow=slow(15)))["job_id"]

        async def runs() -> bool:
            return bool((await operator.job("job", job_id))["state"] == "running")

        await until(runs, within_s=30)
        first = (await operator.job("job", job_id))["node"]
        (drained,) = await operator.does("drain", first)
        assert drained["cordoned_at"] is not None
        assert drained["job_id"] != job_id
        try:
            assert (await fleet.wait_until_ended(client, job_id))["status"] == "completed"
            moved = await operator.job("job", job_id)
            outcomes = [(attempt["outcome"], attempt["node"] == first) for attempt in moved["attempts"]]
            assert outcomes == [("withdrawn", True), ("succeeded", False)]
            assert moved["images"] == 1
            public = (await client.get(f"/jobs/{job_id}")).json()
            assert public["attempt"] == 2
            assert first not in str(public)
            me = (await client.get("/auth/me")).json()
            assert me["used_today"] == 1
            (other,) = {node["node"] for node in await operator.does("nodes")} - {first}
            others = [(await fleet.submit(client, workflow=HELLO))["job_id"] for _ in range(3)]
            assert {(await fleet.wait_until_ended(client, one))["status"] for one in others} == {"completed"}
            for one in others:
                assert (await operator.job("job", one))["node"] == other
        finally:
            await operator.does("uncordon", first)

        async def counted() -> bool:
            (day,) = (await person.does("usage", "--json", **key)).objects
            requests = day["endpoints"].get("POST /api/v1/jobs", {}).get("requests", 0)
            return bool(4 <= requests <= 4 + transport.repeated)

        await until(counted)
        (day,) = (await person.does("usage", "--json", **key)).objects
        seen = [await operator.job("job", one) for one in (job_id, *others)]
        made = sum(job["images"] for job in seen)
        assert made == 1 + 3 * 2
        assert (day["jobs"], day["images"]) == (4, made)
        spent = [attempt["gpu_seconds"] or 0 for job in seen for attempt in job["attempts"]]
        assert day["gpu_seconds"] == pytest.approx(sum(spent), abs=0.01)
        share = day["endpoints"]["POST /api/v1/jobs"]
        assert share["images"] == made
        assert share["gpu_seconds"] == pytest.approx(sum(spent), abs=0.01)
        everybody = (await operator.does("usage"))[0]
        assert everybody["images"] >= made
        assert everybody["jobs"] >= day["jobs"]
        assert (await operator.does("usage", name))[0]["jobs"] == day["jobs"]
        assert "POST" not in (await person.does("usage", **key)).text  # a table for people
    (entry, *_) = await operator.does("audit", "--action", "node.drain")
    assert entry["detail"]["node"] == first


@pytest.mark.requirement("GET /api/v1/admin/dead-letters")
async def test_dead_letters_are_paged(fleet: Fleet, operator: Operator) -> None:
    node = (await operator.does("nodes"))[0]["node"]
    user, password = await asyncio.to_thread(executor_login, fleet, node)
    connection = await nats.connect(
        fleet.credentials["nats_url"],
        user=user,
        password=password,
        inbox_prefix=inbox_prefix("executor", node).encode(),
    )
    try:
        for number in range(3):
            subject = FINISH_ATTEMPT.subject(key=node)
            reply = await connection.request(subject, b"no json %d" % number, timeout=5)
            assert (reply.headers or {})["Nats-Service-Error"] == "message.invalid"
    finally:
        await connection.close()
    found = await operator.does("dead-letters", "--node", node, "-n", "3")
    assert [letter["excerpt"] for letter in found] == ["no json 2", "no json 1", "no json 0"]
    assert "message.invalid" in (await operator.runs("dead-letters", "--node", node)).text
    async with fleet.client(fleet.credentials["admin_key"]) as admin:
        page = (await admin.get("/admin/dead-letters", params={"node": node, "limit": 2})).json()
        assert [letter["id"] for letter in page["dead_letters"]] == [letter["id"] for letter in found[:2]]
        query = {"node": node, "limit": 2, "cursor": page["next_cursor"]}
        assert (await admin.get("/admin/dead-letters", params=query)).json()["dead_letters"][0]["id"] == found[2]["id"]
        assert (await admin.get("/admin/dead-letters", params=query | {"node": "other"})).status_code == 422


@pytest.mark.requirement(
    "GET /api/v1/admin/dead-letters", "POST /api/v1/admin/dead-letters/{letter_id}/redrive", "F-70"
)
async def test_unreadable_event_is_listed_as_a_dead_letter_and_fails_again_when_redriven(
    fleet: Fleet, operator: Operator
) -> None:
    tenant, job_id = uuid4(), uuid4()
    (path,) = (fleet.state / "env").glob("scheduler*.env")
    settings = dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
    connection = await nats.connect(
        fleet.credentials["nats_url"],
        user=settings["SCHEDULER_NATS_USER"],
        password=settings["SCHEDULER_NATS_PASSWORD"],
        inbox_prefix=inbox_prefix("scheduler").encode(),
    )
    try:
        subject = JOB_CHANGED.subject(str(tenant), str(job_id))
        await connection.jetstream().publish(subject, b"no event")
    finally:
        await connection.close()
    found: list[dict[str, Any]] = []

    async def listed() -> bool:
        found[:] = await operator.does("dead-letters", "--service", "notifier", "-n", "1")
        return [letter["subject"] for letter in found] == [subject]

    await until(listed)
    (letter,) = found
    assert (letter["code"], letter["excerpt"], letter["redrivable"]) == ("message.invalid", "no event", True)
    assert (letter["tenant_id"], letter["job_id"], letter["stream"]) == (str(tenant), str(job_id), JOB_EVENTS.name)
    everywhere = await operator.does("dead-letters", "-n", "1")
    assert everywhere[0]["id"] == letter["id"]
    again = await operator.runs("redrive", letter["id"])
    assert again.status != 0
    assert "failed again" in again.err
    (listed_again,) = await operator.does("dead-letters", "--service", "notifier", "-n", "1")
    assert listed_again["attempts"] == letter["attempts"] + 1
    assert (await operator.runs("redrive", str(uuid4()))).status != 0
    (entry, *_) = await operator.does("audit", "--action", "dead_letters.redrive", "-n", "2")
    assert "id" in entry["detail"]


def executor_login(fleet: Fleet, node: str) -> tuple[str, str]:
    """Return the NATS login of a node's executor."""
    for path in (fleet.state / "env").glob("executor*.env"):
        settings = dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
        if settings.get("EXECUTOR_NODE") == node:
            return settings["EXECUTOR_NATS_USER"], settings["EXECUTOR_NATS_PASSWORD"]
    raise LookupError(node)


@pytest.mark.requirement(
    "GET /api/v1/admin/stats",
    "POST /api/v1/admin/nodes/{node}/cordon",
    "POST /api/v1/admin/nodes/{node}/uncordon",
    "GET /api/v1/admin/jobs",
    "GET /api/v1/admin/jobs/{job_id}",
    "PATCH /api/v1/admin/jobs/{job_id}",
    "POST /api/v1/admin/jobs/{job_id}/hold",
    "POST /api/v1/admin/jobs/{job_id}/release",
)
async def test_admin_holds_prioritizes_releases_and_repeats_jobs(
    fleet: Fleet, person: Person, operator: Operator
) -> None:
    name, key = await somebody(fleet, person)
    names = [node["node"] for node in await operator.does("nodes")]
    async with fleet.client(key["COMFYFLEET_KEY"]) as client:
        for node in names:
            await operator.does("cordon", node)
        try:
            jobs = [(await fleet.submit(client, workflow=HELLO))["job_id"] for _ in range(3)]
            held = await operator.job("hold", jobs[0])
            assert (held["status"], held["held"], held["queue_position"]) == ("pending", True, None)
            assert (await client.get(f"/jobs/{jobs[0]}")).json()["held"] is True
            assert (await operator.job("prioritise", jobs[2], 50))["queue_position"] == 1
            waiting = await operator.does("jobs", "--user", name, "--status", "pending")
            assert [job["job_id"] for job in waiting] == jobs[::-1]

            async def told() -> bool:
                (stats,) = await operator.does("stats")
                pro = next(queue for queue in stats["queue"] if queue["tier"] == "pro")
                return bool((pro["waiting"], pro["held"]) == (2, 1) and stats["nodes"]["cordoned"] == len(names))

            await until(told)
            await operator.does("uncordon", names[0])  # one node runs the jobs one after the other
            assert (await fleet.wait_until_ended(client, jobs[1]))["status"] == "completed"
        finally:
            for node in names:
                await operator.does("uncordon", node)
        assert (await client.get(f"/jobs/{jobs[0]}")).json()["status"] == "pending"
        begun = [(await client.get(f"/jobs/{one}")).json()["started_at"] for one in (jobs[2], jobs[1])]
        assert begun == sorted(begun)
        await operator.does("release", jobs[0])
        assert (await fleet.wait_until_ended(client, jobs[0]))["status"] == "completed"
        assert (await operator.runs("requeue", jobs[0])).status == REFUSED

        since = (await client.get(f"/jobs/{jobs[1]}")).json()["created_at"]
        listed = (await person.does("jobs", "--since", since, "--json", **key)).objects
        assert [job["job_id"] for job in listed] == [jobs[2], jobs[1]]
        page = (await client.get("/jobs", params={"created_before": since, "limit": 1})).json()
        assert [job["job_id"] for job in page["jobs"]] == [jobs[0]]
        page = (await client.get("/jobs", params={"created_after": since, "limit": 1})).json()
        cursor = {"cursor": page["next_cursor"], "limit": 1}
        assert (await client.get("/jobs", params=cursor)).json()["code"] == "cursor.invalid"
        following = (await client.get("/jobs", params=cursor | {"created_after": since})).json()
        assert [job["job_id"] for job in following["jobs"]] == [jobs[1]]
    user = (await operator.does("users", "--search", name))[0]
    kept = await operator.does("audit", "--whom", user["id"], "-n", "50")
    orders = [entry["action"] for entry in kept if entry["action"].startswith("job.") and entry["action"] != "job.read"]
    assert orders == ["job.requeue", "job.release", "job.prioritise", "job.hold"]
    async with fleet.client(fleet.credentials["admin_key"]) as admin:
        for path, noun, whose, of in (("jobs", "jobs", "tenant", "job_id"), ("audit", "audit", "subject", "id")):
            query = {whose: user["id"], "limit": 2}
            first = (await admin.get(f"/admin/{path}", params=query)).json()
            query["cursor"] = first["next_cursor"]
            second = (await admin.get(f"/admin/{path}", params=query)).json()
            seen = [one[of] for one in (*first[noun], *second[noun])]
            assert seen == sorted(set(seen), reverse=True)
            assert len(seen) >= 3
            other = await admin.get(f"/admin/{path}", params=query | {whose: jobs[0]})
            assert (other.status_code, other.json()["code"]) == (422, "cursor.invalid")
        assert (await admin.get(f"/admin/jobs/{jobs[1]}")).json()["job_id"] == jobs[1]
        log = (await admin.get("/admin/audit", params={"subject": user["id"], "limit": 100})).json()["audit"]
    looked = {(entry["action"], entry["detail"].get("job_id")) for entry in log}
    assert looked >= {("jobs.search", None), ("job.read", jobs[1])}  # reading another user's data is audited too


@pytest.mark.requirement("POST /api/v1/admin/jobs/{job_id}/cancel", "POST /api/v1/admin/jobs/{job_id}/requeue")
async def test_admin_repeats_a_failed_job_as_a_new_one(fleet: Fleet, person: Person, operator: Operator) -> None:
    _, key = await somebody(fleet, person)
    async with fleet.client(key["COMFYFLEET_KEY"]) as client:
        picture = await upload(client, png("red"))
        graph = slow(60) | {"1": {"class_type": "LoadImage", "inputs": {"image": picture}}}
        job_id = (await fleet.submit(client, workflow=graph, run_within_seconds=0.5))["job_id"]
        first = await fleet.wait_until_ended(client, job_id)
        assert first["status"] == "failed"
        again = await operator.job("requeue", job_id)
        assert again["job_id"] != job_id
        assert again["retry_of"] == job_id
        assert (await operator.job("requeue", job_id))["job_id"] == again["job_id"]
        second = await fleet.wait_until_ended(client, again["job_id"])
        assert (second["status"], second["error"]) == ("failed", first["error"])  # the retry has the upload, too
        assert (await client.get(f"/jobs/{job_id}")).json()["status"] == "failed"

        async def failed() -> bool:
            (stats,) = await operator.does("stats")
            return bool(sum(stats["failures"].values()) >= 2)

        await until(failed)
        stopped = (await fleet.submit(client, workflow=slow(60)))["job_id"]
        assert (await operator.job("cancel", stopped))["status"] == "cancelled"
        assert (await fleet.wait_until_ended(client, stopped))["status"] == "cancelled"
        assert (await operator.runs("requeue", stopped)).status == REFUSED


@pytest.mark.requirement("S-83", "GET /api/v1/admin/audit")
async def test_admin_action_by_a_normal_user_is_refused_and_audited(
    fleet: Fleet, person: Person, operator: Operator
) -> None:
    name, key = await somebody(fleet, person)
    node = (await operator.does("nodes"))[0]["node"]
    refused = await asyncio.gather(
        *(person.runs("admin", *command, **key) for command in (("drain", node), ("stats",), ("audit",)))
    )
    assert [said.status for said in refused] == [REFUSED] * 3
    assert (await operator.does("nodes"))[0]["cordoned_at"] is None
    user = (await operator.does("users", "--search", name))[0]

    async def kept() -> bool:
        denied = await operator.does("audit", "--who", user["id"], "--action", "access.denied")
        return {entry["detail"]["what"] for entry in denied} == {
            f"POST /api/v1/admin/nodes/{node}/drain", "GET /api/v1/admin/stats", "GET /api/v1/admin/audit",
        }  # fmt: skip

    await until(kept)
