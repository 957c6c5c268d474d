import asyncio
from pathlib import Path
from uuid import uuid4

import pytest

from contracts.scheduler.jobs import JobState
from contracts.scheduler.submissions import SubmitJob
from tests.integration.gateway.conftest import ALICE, settings_for, until_ready
from tests.integration.gateway.long_timeouts import client_with_long_timeout, create_app_with_long_timeouts
from tests.kit.nats import NatsServer
from tests.kit.scripted import Script, output_of
from tests.kit.serving import serving
from tests.kit.waiting import until


@pytest.mark.requirement("F-8")
async def test_gateway_reports_a_nats_outage_and_recovers(
    own_nats: NatsServer, database_url: str, tmp_path: Path
) -> None:
    script = Script(own_nats.url)
    app = create_app_with_long_timeouts(settings_for(own_nats.url, database_url, tmp_path))
    async with serving(app) as at, client_with_long_timeout(at) as http:
        await script.start()
        await until_ready(http)
        own_nats.kill()
        answer = await http.post("/api/v1/jobs", headers=ALICE, json={"prompt": "a"})
        assert (answer.status_code, answer.json()["code"]) == (503, "service.unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        assert (await http.get("/healthz")).status_code == 200
        assert (await http.get("/readyz")).status_code == 503
        await own_nats.start()

        async def works() -> bool:
            return (await http.post("/api/v1/jobs", headers=ALICE, json={"prompt": "a"})).status_code == 201

        await until(works)
        await script.stop()


@pytest.mark.requirement("GET /healthz", "GET /readyz")
async def test_gateway_answers_before_its_dependencies_are_ready(tmp_path: Path) -> None:
    nowhere = "postgresql+asyncpg://nobody@127.0.0.1:1/none"
    app = create_app_with_long_timeouts(settings_for("nats://127.0.0.1:1", nowhere, tmp_path))
    async with serving(app) as at, client_with_long_timeout(at) as http:
        assert (await http.get("/healthz")).status_code == 200
        checks = {"nats": False, "identity": False, "database": False, "schema": False, "artifact_store": False}
        checks |= {"startup": False}
        assert (await http.get("/readyz")).json()["checks"] == checks | {"artifact_space": True}
        answer = await http.get("/api/v1/models", headers=ALICE)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert (await http.get("/api/v1/models")).status_code == 401


@pytest.mark.requirement("F-9")
async def test_database_outage_affects_only_results(script: Script, nats_server: NatsServer, tmp_path: Path) -> None:
    nowhere = "postgresql+asyncpg://nobody@127.0.0.1:1/none"
    job = script.scheduler.add(script.alice, uuid4())
    script.scheduler.change(job.job_id, JobState.SUCCEEDED, outputs=(output_of(uuid4(), b"x"),))
    app = create_app_with_long_timeouts(settings_for(nats_server.url, nowhere, tmp_path))
    async with serving(app) as at, client_with_long_timeout(at) as http:

        async def readable() -> bool:
            return (await http.get(f"/api/v1/jobs/{job.job_id}", headers=ALICE)).status_code == 200

        await until(readable, within_s=60)
        answer = await http.get(f"/api/v1/jobs/{job.job_id}/result", headers=ALICE)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


@pytest.mark.requirement("F-3")
async def test_lost_submission_reply_leaves_no_hidden_job(
    nats_server: NatsServer, database_url: str, script: Script, tmp_path: Path
) -> None:
    """The scheduler commits the job but does not reply. Asked again with the same id, it returns the same job."""
    lost: list[SubmitJob] = []

    def commit_and_crash(asked: SubmitJob) -> None:
        if len(lost) < 1:
            lost.append(asked)
            script.scheduler.add(script.alice, asked.job_id)
            raise ConnectionResetError

    script.scheduler.before_submit = commit_and_crash
    app = create_app_with_long_timeouts(settings_for(nats_server.url, database_url, tmp_path))
    async with serving(app) as at, client_with_long_timeout(at) as http:
        await until_ready(http)
        answer = await http.post("/api/v1/jobs", headers=ALICE, json={"prompt": "a"})
        assert answer.status_code == 201
        assert answer.json()["job_id"] == str(lost[0].job_id)
        assert len(script.scheduler.jobs) == 1


@pytest.mark.requirement("F-23")
@pytest.mark.timeout(60)
async def test_missing_scheduler_is_reported_at_once(own_nats: NatsServer, database_url: str, tmp_path: Path) -> None:
    script = Script(own_nats.url)
    app = create_app_with_long_timeouts(settings_for(own_nats.url, database_url, tmp_path))
    async with serving(app) as at, client_with_long_timeout(at) as http:
        await script.start()
        await until_ready(http)
        await script.scheduler_bus.stop()
        async with asyncio.timeout(10):
            answer = await http.post("/api/v1/jobs", headers=ALICE, json={"prompt": "a", "model": "m"})
        assert answer.status_code == 503
        await script.stop()
