"""Hostile graphs cannot affect other tenants."""

import asyncio
import secrets
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import simulated_only
from tests.kit.fleet import Fleet
from tests.kit.http import http_client
from tests.kit.images import flat_png
from tests.kit.waiting import until

pytestmark = simulated_only

TEXT = {"class_type": "PrimitiveString", "inputs": {"value": "comfyfleet"}}
PICTURE: dict[str, Any] = {
    "class_type": "EmptyImage",
    "inputs": {"width": 32, "height": 32, "batch_size": 1, "color": 255},
}
LOADER = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sim_xl.safetensors"}}


def switched(value: str = "comfyfleet") -> dict[str, Any]:
    text = {"class_type": "PrimitiveString", "inputs": {"value": value}}
    inputs = {"switch": True, "on_true": ["text", 0], "on_false": ["text", 0]}
    return {"text": text, "switch": {"class_type": "ComfySwitchNode", "inputs": inputs}}


def loaded(folder: Any) -> dict[str, Any]:
    return switched() | {
        "load": {"class_type": "LoadImageDataSetFromFolder", "inputs": {"folder": folder}},
        "save": {"class_type": "SaveImage", "inputs": {"images": ["load", 0], "filename_prefix": "x"}},
    }


def saved(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"text": TEXT, "picture": PICTURE, "model": LOADER, "it": {"class_type": class_type, "inputs": inputs}}


def checkpoint(prefix: Any) -> dict[str, Any]:
    links = {"model": ["model", 0], "clip": ["model", 1], "vae": ["model", 2]}
    return saved("CheckpointSave", **links, filename_prefix=prefix)


def shown(node: dict[str, Any]) -> dict[str, Any]:
    return {"text": TEXT, "it": node, "out": {"class_type": "PreviewAny", "inputs": {"source": ["it", 0]}}}


def chat(**more: Any) -> dict[str, Any]:
    inputs = {"prompt": "secret", "persist_context": False, "model": "gpt-5"} | more
    return shown({"class_type": "OpenAIChatNode", "inputs": inputs})


def encode_image(value: Any) -> dict[str, Any]:
    return {
        **switched(),
        "it": {"class_type": "LoadImage", "inputs": {"image": value}},
        "out": {"class_type": "PreviewImage", "inputs": {"images": ["it", 0]}},
    }


FOLDERS = ["comfyfleet", "3d", ["text", 0], ["switch", 0], {"__value__": "comfyfleet"}, "../temp/comfyfleet", ".", None]
FILES = ["comfyfleet/a.png", "comfyfleet/a.png [temp]", ["switch", 0], {"__value__": "a.png"}, "x [output]", 7, None]
MODELS = ["checkpoints/00-evil", {"__value__": "checkpoints/00-evil"}, ["text", 0], 7, None, True]


@pytest.fixture(scope="module")
async def keys(fleet: Fleet) -> dict[str, str]:
    """Keys of a user with policy strict and of one with policy open."""
    name = secrets.token_hex(4)
    strict = await asyncio.to_thread(fleet.create_user, f"strict{name}", "pro")
    trusted = await asyncio.to_thread(fleet.create_user, f"open{name}", "pro", graph_policy="open")
    return {"strict": strict, "open": trusted}


async def refusals(fleet: Fleet, key: str, workflow: dict[str, Any]) -> list[dict[str, Any]]:
    async with fleet.client(key) as client:
        answer = await client.post("/jobs", json={"workflow": workflow})
    assert answer.status_code == 422, answer.text
    errors: list[dict[str, Any]] = answer.json()["errors"]
    return errors


async def rule(fleet: Fleet, name: str, verdict: str | None) -> None:
    async with fleet.client(fleet.credentials["admin_key"]) as admin:
        path = f"/admin/class-rules/classes/{name}"
        answer = await (admin.put(path, json={"verdict": verdict}) if verdict else admin.delete(path))
    assert answer.status_code == 200, answer.text


async def shows(fleet: Fleet, key: str, name: str) -> bool:
    async with fleet.client(key) as client:
        page = (await client.get("/nodes/classes", params={"name": name})).json()
    return bool(page["classes"])


@pytest.mark.requirement("B-42")
@pytest.mark.parametrize("mode", ["strict", "open"])
async def test_graph_cannot_read_node_folders(fleet: Fleet, keys: dict[str, str], mode: str) -> None:
    expected = {"strict": {"node_class_not_allowed"}, "open": {"folder_not_allowed", "link_not_allowed"}}
    for folder in FOLDERS:
        assert {error["code"] for error in await refusals(fleet, keys[mode], loaded(folder))} <= expected[mode]


@pytest.mark.requirement("B-42")
@pytest.mark.parametrize("mode", ["strict", "open"])
async def test_graph_cannot_read_files_that_were_not_uploaded(fleet: Fleet, keys: dict[str, str], mode: str) -> None:
    expected = {"file_not_uploaded", "link_not_allowed"}
    for value in FILES:
        assert {error["code"] for error in await refusals(fleet, keys[mode], encode_image(value))} <= expected


@pytest.mark.parametrize("mode", ["strict", "open"])
async def test_graph_cannot_write_models(fleet: Fleet, keys: dict[str, str], mode: str) -> None:
    for prefix in MODELS:
        (error,) = await refusals(fleet, keys[mode], checkpoint(prefix))
        assert error["code"] == "node_class_not_allowed"
        assert "CheckpointSave" in error["message"]
        assert "writes model files" in error["message"]
        assert "operator" in error["message"]


@pytest.mark.requirement("B-41")
@pytest.mark.parametrize("mode", ["strict", "open"])
@pytest.mark.parametrize(
    "more",
    [{}, {"prompt": ["text", 0]}, {"prompt": {"__value__": "x"}}, {"model": "o1"}, {"images": ["text", 0]}, {"a": 1}],
    ids=str,
)
async def test_partner_api_classes_never_run(
    fleet: Fleet, keys: dict[str, str], mode: str, more: dict[str, Any]
) -> None:
    errors = await refusals(fleet, keys[mode], chat(**more))
    assert [error["code"] for error in errors if error["code"] == "node_class_not_allowed"]
    assert "OpenAIChatNode" not in str(await fleet.read_ledgers())


async def test_regex_and_custom_pack_classes_require_the_open_policy(fleet: Fleet, keys: dict[str, str]) -> None:
    regex = shown(
        {"class_type": "RegexMatch", "inputs": {"string": "a", "regex_pattern": "a", "case_insensitive": True}}
    )
    pack = shown({"class_type": "SimSleep", "inputs": {"image": ["p", 0], "seconds": 0}}) | {"p": PICTURE}
    for workflow in (regex, pack):
        (error,) = await refusals(fleet, keys["strict"], workflow)
        assert error["code"] == "node_class_not_allowed"
        async with fleet.client(keys["open"]) as client:
            job = await fleet.submit(client, workflow=workflow)
            assert (await fleet.wait_until_ended(client, job["job_id"]))["status"] == "completed"


async def test_class_rule_applies_to_all_tenants(fleet: Fleet, keys: dict[str, str]) -> None:
    """The time that this takes is tested in ``test_graph_policy.py`` of the scheduler."""
    name = "RegexMatch"
    assert not await shows(fleet, keys["strict"], name)
    await rule(fleet, name, "allow")
    try:
        await until(lambda: shows(fleet, keys["strict"], name))
        await rule(fleet, name, "deny")

        async def hidden() -> bool:
            return not await shows(fleet, keys["open"], name)

        await until(hidden)
    finally:
        await rule(fleet, name, None)


async def _sorted_models(client: httpx.AsyncClient) -> dict[str, list[str]]:
    """Return the models by loader. Their order depends on what the nodes have loaded."""
    return {loader: sorted(names) for loader, names in (await client.get("/models")).json()["models"].items()}


async def test_allowed_model_saving_class_cannot_add_a_usable_model(fleet: Fleet, keys: dict[str, str]) -> None:
    await rule(fleet, "CheckpointSave", "allow")
    try:
        await until(lambda: shows(fleet, keys["strict"], "CheckpointSave"))
        async with fleet.client(keys["strict"]) as client:
            before = await _sorted_models(client)
            for prefix in MODELS:
                job = await fleet.submit(client, workflow=checkpoint(prefix))
                assert (await fleet.wait_until_ended(client, job["job_id"]))["status"] == "completed"
            assert await _sorted_models(client) == before
        async with fleet.client() as other:
            job = await fleet.submit(other, prompt="a cat")
            assert job["model"] in {"sim_xl.safetensors", "sim_anime.safetensors"}
    finally:
        await rule(fleet, "CheckpointSave", None)
    async with http_client(timeout=20) as http:
        for url in fleet.nodes:
            listed = (await http.get(f"{url}/models/checkpoints")).json()
            assert sorted(listed) == ["sim_anime.safetensors", "sim_xl.safetensors"]


async def test_image_metadata_never_contains_another_tenants_graph(fleet: Fleet, keys: dict[str, str]) -> None:
    secret = secrets.token_hex(16)
    color = secrets.randbelow(1 << 24)
    pictures: dict[str, list[bytes]] = {}
    for mode, text in (("strict", secret), ("open", "nothing"), ("strict", secret), ("open", "nothing")):
        workflow = {
            "name": TEXT,
            "picture": {"class_type": "EmptyImage", "inputs": PICTURE["inputs"] | {"color": color}},
            "save": {"class_type": "SaveImage", "inputs": {"images": ["picture", 0], "filename_prefix": ["name", 0]}},
            "mine": {"class_type": "PreviewAny", "inputs": {"source": text}},
        }
        async with fleet.client(keys[mode]) as client:
            job = await fleet.submit(client, workflow=workflow)
            assert (await fleet.wait_until_ended(client, job["job_id"]))["status"] == "completed"
            listed = (await client.get(f"/jobs/{job['job_id']}/outputs")).json()["outputs"]
            for output in listed:
                if output["kind"] == "image":
                    pictures.setdefault(mode, []).append((await client.get(output["url"])).content)
    assert len(pictures["open"]) >= 2
    assert all(secret.encode() in content for content in pictures["strict"])
    assert not any(secret.encode() in content for content in pictures["open"])


async def test_staged_upload_appears_in_no_public_list(fleet: Fleet, keys: dict[str, str]) -> None:
    async with fleet.client(keys["strict"]) as client:
        content = flat_png(40)
        upload = (await client.post("/upload", files={"file": ("secret.png", content, "image/png")})).json()
        job = await fleet.submit(client, workflow=encode_image(upload["id"]))
        assert (await fleet.wait_until_ended(client, job["job_id"]))["status"] == "completed"
        page = await client.get("/nodes/classes", params={"limit": 100})
        assert "comfyfleet" not in page.text
        image = next(found for found in page.json()["classes"] if found["name"] == "LoadImage")["inputs"]["image"]
        assert (image["options"], image["upload"]) == (None, True)
    async with fleet.client(keys["open"]) as client:
        page = await client.get("/nodes/classes", params={"name": "LoadImageDataSetFromFolder"})
        (found,) = page.json()["classes"]
        assert found["inputs"]["folder"]["options"] is None
