"""A workflow is saved once and then run by name with parameters."""

from typing import Any

import httpx
import pytest

from tests.kit.fleet import Fleet

GRAPH: dict[str, Any] = {
    "1": {
        "class_type": "EmptyImage",
        "inputs": {"width": 64, "height": 48, "batch_size": 1, "color": 0},
    },
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "plain"}},
}
PARAMETERS = {"color": {"node": "1", "input": "color", "minimum": 0, "maximum": 0xFFFFFF}}


@pytest.mark.requirement(
    "GET /api/v1/workflows",
    "GET /api/v1/workflows/{workflow_name}",
    "PUT /api/v1/workflows/{workflow_name}",
    "DELETE /api/v1/workflows/{workflow_name}",
    "table gateway.workflows",
    "submission.saved",
)
async def test_saved_workflow_runs_by_name_with_parameters(fleet: Fleet, client: httpx.AsyncClient) -> None:
    name = f"plain-{fleet.process.pid}"
    saved = await client.put(f"/workflows/{name}", json={"workflow": GRAPH, "parameters": PARAMETERS})
    assert saved.status_code == 201, saved.text
    body = {"workflow_name": name, "version": 1, "parameters": {"color": 0x2040FF}}
    keyed = {"Idempotency-Key": name}
    by_name = (await client.post("/jobs", headers=keyed, json=body)).json()
    own = await client.post(f"/workflows/{name}/jobs", json={"color": 0xFF4020})
    assert own.status_code == 201, own.text
    pictures = []
    for job_id in (by_name["job_id"], own.json()["job_id"]):
        assert (await fleet.ended(client, job_id))["status"] == "completed"
        picture = await client.get(f"/jobs/{job_id}/result")
        assert picture.headers["content-type"] == "image/png"
        pictures.append(picture.content)
    assert pictures[0] != pictures[1]
    listed = (await client.get("/jobs", params={"workflow": name})).json()["jobs"]
    assert [job["job_id"] for job in listed] == [own.json()["job_id"], by_name["job_id"]]
    assert (await client.delete(f"/workflows/{name}")).status_code == 204
    assert (await client.get(f"/jobs/{by_name['job_id']}/result")).content == pictures[0]
    again = await client.post("/jobs", headers=keyed, json=body)
    assert (again.json()["job_id"], again.headers["idempotent-replayed"]) == (by_name["job_id"], "true")
    other = await client.post("/jobs", headers=keyed, json=body | {"priority": 1})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency.key_reused")
    for headers in ({}, {"Idempotency-Key": f"{name}-new"}):
        refused = await client.post("/jobs", headers=headers, json=body)
        assert (refused.status_code, refused.json()["code"]) == (404, "workflow.not_found")
