"""Routes that list the models and node classes of the fleet, and the documentation pages."""

import re

import pytest

from contracts.auth.accounts import Role
from contracts.catalog import ClassSpec, InputSpec
from contracts.permissions import NATS_API_FEEDS, NATS_API_REQUESTS
from tests.integration.gateway.conftest import ALICE, Gateway
from tests.kit.scripted import Script

CLASSES, MODELS = "/api/v1/nodes/classes", "/api/v1/models"
LATENT = ClassSpec(
    inputs={"width": InputSpec(type="INT", required=True, min=16, max=16384)}, outputs=("LATENT",), output_node=False
)


async def test_node_classes_are_read_page_by_page_or_one_alone(gateway: Gateway, script: Script) -> None:
    script.scheduler.node_classes = dict.fromkeys(("A", "B", "EmptyLatentImage"), LATENT)
    first = (await gateway.http.get(CLASSES, headers=ALICE, params={"limit": 2})).json()
    assert ([found["name"] for found in first["classes"]], first["next_cursor"]) == (["A", "B"], "B")
    more = {"limit": 2, "cursor": first["next_cursor"]}
    rest = (await gateway.http.get(CLASSES, headers=ALICE, params=more)).json()
    alone = (await gateway.http.get(CLASSES, headers=ALICE, params={"name": "EmptyLatentImage"})).json()
    width = {"type": "INT", "required": True, "options": None, "min": 16, "max": 16384, "upload": False}
    assert rest == alone == {
        "classes": [
            {
                "name": "EmptyLatentImage", "inputs": {"width": width}, "outputs": ["LATENT"], "output_node": False,
                "refused": None,
            }
        ],
        "next_cursor": None,
    }  # fmt: skip
    nothing = (await gateway.http.get(CLASSES, headers=ALICE, params={"name": "Nothing"})).json()
    assert nothing == {"classes": [], "next_cursor": None}


async def test_node_classes_are_requested_for_the_tenant(gateway: Gateway, script: Script) -> None:
    script.scheduler.node_classes = {"A": LATENT, "B": LATENT}
    script.scheduler.refused_classes = {"B": "It uses the network. Ask the operator of this API to allow it."}
    page = (await gateway.http.get(CLASSES, headers=ALICE)).json()
    assert [found["name"] for found in page["classes"]] == ["A"]
    assert script.scheduler.asked_for == [str(script.auth.keys["alice-key"])]
    refused = await gateway.http.get(CLASSES, headers=ALICE, params={"all": "true"})
    assert (refused.status_code, refused.json()["code"]) == (403, "auth.scope.missing")
    script.auth.change(script.auth.keys["bob-key"], role=Role.ADMIN)
    everything = (await gateway.http.get(CLASSES, headers={"X-API-Key": "bob-key"}, params={"all": "true"})).json()
    assert {found["name"]: found["refused"] for found in everything["classes"]} == {
        "A": None,
        "B": script.scheduler.refused_classes["B"],
    }


@pytest.mark.parametrize("path", [CLASSES, MODELS])
async def test_unchanged_fleet_answer_is_not_sent_again(gateway: Gateway, script: Script, path: str) -> None:
    script.scheduler.node_classes = {"A": LATENT}
    first = await gateway.http.get(path, headers=ALICE)
    etag = first.headers["etag"]
    again = await gateway.http.get(path, headers=ALICE | {"If-None-Match": f'"other", {etag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    script.scheduler.node_classes = {"B": LATENT}
    script.scheduler.models = {"UNETLoader.unet_name": ("flux.safetensors",)}
    changed = await gateway.http.get(path, headers=ALICE | {"If-None-Match": etag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 101}, {"name": ""}, {"cursor": "x" * 201}])
async def test_page_size_of_node_classes_is_bounded(shared_gateway: Gateway, query: dict[str, str]) -> None:
    answer = await shared_gateway.http.get(CLASSES, headers=ALICE, params=query)
    assert (answer.status_code, answer.json()["code"]) == (422, "request.invalid")


async def test_documentation_page_loads_nothing_from_other_hosts(gateway: Gateway) -> None:
    page = await gateway.http.get("/docs")
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert "http" not in page.headers["content-security-policy"]
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) == 3
    for path in loaded:
        found = await gateway.http.get(path)
        assert found.status_code == 200
        assert len(found.content) > 1000
        assert found.headers["content-type"].split(";")[0] in {"text/javascript", "text/css", "image/png"}
    assert "/openapi.json" in page.text
    assert (await gateway.http.get("/docs/redoc.standalone.js")).status_code == 404


async def test_asyncapi_document_describes_only_the_public_nats_api(gateway: Gateway) -> None:
    answer = await gateway.http.get("/asyncapi")
    document = answer.json()
    assert (answer.status_code, document["asyncapi"]) == (200, "3.0.0")
    assert document["operations"].keys() == {*NATS_API_REQUESTS, *NATS_API_FEEDS}
    addresses = {channel["address"] for channel in document["channels"].values()}
    assert addresses == {None, *NATS_API_REQUESTS, *(f"{subject}.{{job_id}}" for subject in NATS_API_FEEDS)}
    assert "v1.*" not in answer.text
    named = set(re.findall(r"#/components/schemas/(\w+)", answer.text))
    assert named <= document["components"]["schemas"].keys()
