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
        assert (await fleet.wait_until_ended(client, job_id))["status"] == "completed"
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


@pytest.mark.requirement("POST /api/v1/workflows/inputs", "GET /api/v1/workflows/builtin")
async def test_described_inputs_make_the_parameters_of_a_saved_workflow(
    fleet: Fleet, client: httpx.AsyncClient
) -> None:
    told = await client.post("/workflows/inputs", json=GRAPH)  # a submission accepts a bare graph, too
    assert told.status_code == 200, told.text
    form = told.json()
    assert form["graph"] == GRAPH
    assert [one["pointer"] for one in form["inputs"][:2]] == ["/workflow/1/inputs/width", "/workflow/1/inputs/height"]
    assert form["outputs"] == [{"node_id": "2", "node_class": "SaveImage", "node_title": None}]
    name = f"described-{fleet.process.pid}"
    saved = await client.put(f"/workflows/{name}", json={"workflow": form["graph"], "parameters": parameters_of(form)})
    assert saved.status_code == 201, saved.text
    schema = (await client.get(f"/workflows/{name}")).json()["parameters"]["properties"]
    width = next(one for one in form["inputs"] if one["input"] == "width")
    assert (width["name"], width["schema"]["maximum"]) == ("width", schema["width"]["maximum"])
    assert (schema["width"]["default"], schema["color"]["type"]) == (64, "integer")
    by_name = (await client.post("/workflows/inputs", json={"workflow_name": name, "parameters": {"color": 5}})).json()
    assert {one["input"]: one["value"] for one in by_name["inputs"]}["color"] == 5

    builtin = {one["name"]: one for one in (await client.get("/workflows/builtin")).json()["workflows"]}
    assert list(builtin) == ["text-to-image", "image-to-image", "inpaint"]
    fields = builtin["text-to-image"]["parameters"]["properties"]
    assert (fields["width"]["multipleOf"], fields["steps"]["maximum"], fields["seed"]["format"]) == (8, 150, "seed")
    assert fields["model"]["default"] in fields["model"]["enum"]
    assert "euler" in fields["sampler"]["enum"]
    submitted = await client.post("/workflows/validate", json={"prompt": "a", "sampler": fields["sampler"]["enum"][0]})
    assert submitted.json()["valid"]
    for one in builtin:
        described = await client.post("/workflows/inputs", json={"workflow_name": one})
        formats = {inputs["schema"].get("format") for inputs in described.json()["inputs"]}
        assert described.status_code == 200, described.text
        assert ("image-upload" in formats, "mask-upload" in formats) == (one != "text-to-image", one == "inpaint")

    unusable = await client.post("/workflows/inputs", json={"workflow": {"1": {"inputs": {}}}})
    assert (unusable.status_code, unusable.json()["code"]) == (422, "workflow.invalid")
    assert unusable.json()["errors"][0]["pointer"].startswith("/workflow/1")
    missing = await client.post("/workflows/inputs", json={"workflow_name": "none"})
    assert missing.json()["code"] == "workflow.not_found"


def parameters_of(form: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters that the console saves for the inputs of a form."""
    kept = ("type", "minimum", "maximum")
    return {
        one["name"]: {"node": one["node_id"], "input": one["input"], "title": one["title"]}
        | {key: one["schema"][key] for key in kept if key in one["schema"]}
        | ({"enum": choices} if len(choices := one["schema"].get("enum", [])) in range(1, 101) else {})
        for one in form["inputs"]
    }
