"""Every service exports what it did, and no label names a user or a job."""

import httpx
import pytest

from contracts.metrics import METRICS
from contracts.registry import SERVICES
from tests.e2e.conftest import simulated_only
from tests.kit.fleet import HELLO, Fleet
from tests.kit.metrics import Scrape, scrape
from tests.kit.waiting import until

JOBS_ROUTE = {"route": "/api/v1/jobs", "method": "POST"}
SUBMIT = {"service": "gateway", "topic": "rpc.scheduler.jobs.submit.v1"}


def saving(class_type: str, **inputs: object) -> dict[str, object]:
    image = {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 1}}
    trial = {"class_type": class_type, "inputs": {"image": ["1", 0], **inputs}}
    return {"1": image, "2": trial, "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "x"}}}


@simulated_only
@pytest.mark.requirement("F-120", "setting METRICS_HOST", "setting METRICS_PORT")
async def test_metrics_show_jobs_requests_nodes_and_connections_without_naming_a_user(fleet: Fleet) -> None:
    urls: dict[str, str] = fleet.credentials["metrics"]
    assert {name.partition("-")[0] for name in urls} == set(SERVICES)
    key = fleet.new_user("metrics", "basic", graph_policy="open")
    before = await scrape(urls)
    latest = before

    def grown(name: str, **labels: str) -> float:
        return latest.total(name, **labels) - before.total(name, **labels)

    async def shown(name: str, value: float, **labels: str) -> None:
        """Wait for a gauge that a loop sets."""

        async def is_shown() -> bool:
            nonlocal latest
            latest = await scrape(urls)
            return latest.total(name, **labels) == value

        await until(is_shown, within_s=30)

    async with fleet.client(key) as client:
        user_id = (await client.get("/me")).json()["user_id"]
        made = await fleet.submit(client, prompt="a lighthouse")
        failed = await fleet.submit(client, workflow=saving("SimFail"))
        for job, status in ((made, "completed"), (failed, "failed")):
            assert (await fleet.ended(client, job["job_id"]))["status"] == status
        refused = await client.post("/jobs", json={"workflow": HELLO, "model": "absent.safetensors"})
        assert refused.status_code == 422
        sleeping = [await fleet.submit(client, workflow=saving("SimSleep", seconds=600)) for _ in fleet.nodes]
        await shown("comfyfleet_jobs", len(sleeping), tier="basic", state="running")
        queued = await fleet.submit(client, workflow=HELLO)
        async with fleet.watch(queued["job_id"], key=key) as socket:
            await socket.recv()
            await shown("comfyfleet_jobs", 1, tier="basic", state="queued")
            assert latest.total("comfyfleet_queue_oldest_seconds", tier="basic") > 0
            assert latest.total("comfyfleet_node_state", state="working") == len(fleet.nodes)
            assert latest.total("comfyfleet_sockets", kind="job") == 1
        for job in (queued, *sleeping):
            assert (await client.post(f"/jobs/{job['job_id']}/cancel")).is_success
        await shown("comfyfleet_node_state", 0, state="working")

    assert grown("comfyfleet_jobs_ended_total", tier="basic", outcome="succeeded", code="none") == 1
    assert grown("comfyfleet_jobs_ended_total", tier="basic", code="workflow.execution_failed") == 1
    assert grown("comfyfleet_jobs_ended_total", tier="basic", outcome="cancelled") == 1 + len(sleeping)
    assert grown("comfyfleet_job_wait_seconds_count", tier="basic") == 2 + len(sleeping)
    for outcome, attempts in (("succeeded", 1), ("failed", 1), ("cancelled", len(sleeping)), ("lapsed", 0)):
        assert grown("comfyfleet_attempts_ended_total", outcome=outcome) == attempts, outcome
    assert grown("comfyfleet_http_request_seconds_count", **JOBS_ROUTE, code="201") == 3 + len(sleeping)
    assert grown("comfyfleet_http_request_seconds_count", **JOBS_ROUTE, code="422") == 1
    assert grown("comfyfleet_rpc_seconds_count", **SUBMIT, outcome="ok") == 3 + len(sleeping)
    assert grown("comfyfleet_rpc_seconds_count", service="executor", outcome="ok") > 0
    assert grown("comfyfleet_node_idle_seconds_total", reason="no_work") > 0
    assert grown("comfyfleet_node_idle_seconds_total", reason="preparing") > 0
    check_common(latest, fleet)
    for process, text in latest.texts.items():
        for secret in (user_id, made["job_id"], fleet.credentials["demo_user_id"]):
            assert secret not in text, process


def check_common(found: Scrape, fleet: Fleet) -> None:
    """Assert what every service exports, and that only declared metrics are exported."""
    declared = {metric.name for metric in METRICS}
    names = {series.name for series in found.values}
    suffixes = ("_count", "_sum", "_bucket")
    stems = {next((name.removesuffix(end) for end in suffixes if name.endswith(end)), name) for name in names}
    assert stems <= declared
    for process in found.texts:
        service = process.partition("-")[0]
        up = {
            dict(series.labels)["dependency"]: value
            for series, value in found.find("comfyfleet_dependency_up", service=service)
            if series.process == process
        }
        needed = {"nats", "comfyui"} if service == "executor" else {"nats", "postgres"}
        assert up.keys() >= needed
        assert set(up.values()) == {1.0}, process
    assert found.label_values("comfyfleet_build_info", "service") == set(SERVICES)
    assert found.label_values("comfyfleet_loop_last_success_timestamp_seconds", "service") == set(SERVICES)
    assert found.label_values("comfyfleet_db_pool", "service") == set(SERVICES) - {"executor"}
    assert found.label_values("comfyfleet_node_state", "node") == {f"node-{n + 1}" for n in range(len(fleet.nodes))}
