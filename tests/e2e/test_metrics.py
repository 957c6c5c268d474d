"""Every service exports what it did, and no label names a user or a job."""

from functools import partial

import httpx
import pytest

from contracts.metrics import METRICS
from contracts.registry import SERVICES
from tests.e2e.conftest import simulated_only
from tests.kit.fleet import HELLO, Fleet
from tests.kit.metrics import Scrape, Scraper
from tests.kit.retrying_fleet import RetryingTransport
from tests.kit.waiting import until

JOBS_ROUTE = {"route": "/api/v1/jobs", "method": "POST"}
SUBMIT = {"service": "gateway", "topic": "rpc.scheduler.job.submit.v1"}
SUFFIXES = ("_count", "_sum", "_bucket")


def saved(class_type: str, **inputs: object) -> dict[str, object]:
    """Return a graph that saves the output of this class."""
    image = {"width": 64, "height": 64, "batch_size": 1, "color": 1}
    return {
        "1": {"class_type": "EmptyImage", "inputs": image},
        "2": {"class_type": class_type, "inputs": {"image": ["1", 0], **inputs}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "x"}},
    }


@simulated_only
@pytest.mark.requirement("metrics.effects", "metrics.labels", "setting METRICS_HOST", "setting METRICS_PORT")
async def test_metrics_show_jobs_requests_nodes_and_connections_without_naming_a_user(fleet: Fleet) -> None:
    urls: dict[str, str] = fleet.credentials["metrics"]
    assert {name.partition("-")[0] for name in urls} == set(SERVICES)
    key = fleet.create_user("metrics", "basic", graph_policy="open")
    async with fleet.client(fleet.credentials["admin_key"]) as admin:
        await until(partial(is_idle, admin))  # jobs of earlier tests count too
    transport = RetryingTransport()
    async with fleet.client(key, transport=transport) as client, Scraper(urls) as found:
        user_id = (await client.get("/auth/me")).json()["id"]
        made = await fleet.submit(client, prompt="a lighthouse")
        assert (await fleet.wait_until_ended(client, made["job_id"]))["status"] == "completed"
        failed = await fleet.submit(client, workflow=saved("SimFail", message="no", exception_type="RuntimeError"))
        assert (await fleet.wait_until_ended(client, failed["job_id"]))["status"] == "failed"
        refused = await client.post("/jobs", json={"workflow": {"1": {"class_type": "Absent", "inputs": {}}}})
        assert refused.status_code == 422
        sleeping = [await fleet.submit(client, workflow=saved("SimSleep", seconds=600)) for _ in fleet.nodes]
        await found.wait_for_total("comfyfleet_jobs", len(sleeping), tier="basic", state="running")
        queued = await fleet.submit(client, workflow=HELLO)
        async with fleet.watch(queued["job_id"], key=key) as socket:
            await socket.recv()
            await found.wait_for_total("comfyfleet_jobs", 1, tier="basic", state="queued")
            assert found.latest.total("comfyfleet_queue_oldest_seconds", tier="basic") > 0
            await found.wait_for_total("comfyfleet_node_state", len(fleet.nodes), state="working")
            await found.wait_for_total("comfyfleet_sockets", 1, kind="job")
        for job in (queued, *sleeping):
            assert (await client.post(f"/jobs/{job['job_id']}/cancel")).is_success
        await found.wait_for_total("comfyfleet_node_state", 0, state="working")

        async def is_complete() -> bool:
            await found.scrape()
            cancelled = found.compute_growth("comfyfleet_attempts_ended_total", outcome="cancelled")
            down = [value for _, value in found.latest.find("comfyfleet_dependency_up") if value != 1]
            return cancelled >= len(sleeping) and not down

        await until(is_complete)

    expect_ended_jobs(found, cancelled_on_node=len(sleeping))
    expect_stored_artifacts(found)
    expect_requests(found, accepted=3 + len(sleeping), repeated=transport.repeated)
    expect_what_every_service_exports(found.latest, fleet)
    for process, text in found.latest.texts.items():
        for secret in (user_id, made["job_id"], fleet.credentials["demo_user_id"]):
            assert secret not in text, process


async def is_idle(admin: httpx.AsyncClient) -> bool:
    """Return whether no job runs or waits."""
    nodes = (await admin.get("/admin/nodes")).json()["nodes"]
    queue = (await admin.get("/admin/queue")).json()["tenants"]
    return not queue and all(node["state"] == "idle" for node in nodes)


def expect_ended_jobs(found: Scraper, *, cancelled_on_node: int) -> None:
    """Assert one success, one failure, one job cancelled before its start, and jobs cancelled while they ran."""
    ended, attempts = "comfyfleet_jobs_ended_total", "comfyfleet_attempts_ended_total"
    assert found.compute_growth(ended, tier="basic", outcome="succeeded", code="none") == 1
    assert found.compute_growth(ended, tier="basic", outcome="failed", code="workflow.execution_failed") == 1
    assert found.compute_growth(ended, tier="basic", outcome="cancelled") == 1 + cancelled_on_node
    assert found.compute_growth("comfyfleet_job_wait_seconds_count", tier="basic") == 2 + cancelled_on_node
    assert found.compute_growth(attempts, outcome="succeeded") == 1
    assert found.compute_growth(attempts, outcome="failed") == 1
    assert found.compute_growth(attempts, outcome="cancelled") == cancelled_on_node
    assert found.compute_growth(attempts, outcome="lapsed") == 0
    for reason in ("no_work", "preparing", "finishing"):
        assert found.compute_growth("comfyfleet_node_idle_seconds_total", reason=reason) > 0, reason
    assert found.latest.label_values("comfyfleet_model_loads_total", "node") == {"node-1", "node-2"}


def expect_stored_artifacts(found: Scraper) -> None:
    """Assert that the output of the successful job was written."""
    assert found.compute_growth("comfyfleet_artifact_writes_total", result="ok") >= 1
    assert found.compute_growth("comfyfleet_artifact_writes_total", result="full") == 0
    assert found.latest.total("comfyfleet_artifact_free_bytes") > 0
    assert found.latest.total("comfyfleet_dependency_up", dependency="artifact_store") == 1


def expect_requests(found: Scraper, *, accepted: int, repeated: int) -> None:
    """Assert one refused and ``accepted`` accepted submissions over HTTP, and the latter over NATS.

    Each of the ``repeated`` requests, which got no reply at first, may have been counted twice.
    """
    of_route = partial(found.compute_growth, "comfyfleet_http_request_seconds_count", **JOBS_ROUTE)
    over_nats = found.compute_growth("comfyfleet_rpc_seconds_count", **SUBMIT, outcome="ok")
    assert accepted <= of_route(code="201") <= accepted + repeated
    assert 1 <= of_route(code="422") <= 1 + repeated
    assert accepted <= over_nats <= accepted + repeated
    assert found.compute_growth("comfyfleet_rpc_seconds_count", service="executor", outcome="ok") > 0


def expect_what_every_service_exports(found: Scrape, fleet: Fleet) -> None:
    """Assert metrics of all services, and that only declared metrics are exported."""
    names = {series.name for series in found.values}
    stems = {next((name.removesuffix(end) for end in SUFFIXES if name.endswith(end)), name) for name in names}
    assert stems <= {metric.name for metric in METRICS}
    assert found.label_values("comfyfleet_build_info", "service") == set(SERVICES)
    assert found.label_values("comfyfleet_loop_last_success_timestamp_seconds", "service") == set(SERVICES)
    assert found.label_values("comfyfleet_db_pool", "service") == set(SERVICES) - {"executor"}
    assert found.label_values("comfyfleet_node_state", "node") == {f"node-{n + 1}" for n in range(len(fleet.nodes))}
    dependencies = {
        (labels["service"], labels["dependency"]): value
        for series, value in found.find("comfyfleet_dependency_up")
        if (labels := dict(series.labels))
    }
    assert set(dependencies.values()) == {1.0}, dependencies
    with_database = {(service, "postgres") for service in SERVICES if service != "executor"}
    assert dependencies.keys() >= {(service, "nats") for service in SERVICES} | with_database | {
        ("executor", "comfyui")
    }
