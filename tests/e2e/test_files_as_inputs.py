"""Files of every kind, and outputs of earlier jobs, reach jobs unchanged."""

import hashlib
import os
from io import BytesIO
from typing import Any
from uuid import uuid4

import httpx
import pytest
from PIL import Image

from tests.e2e.conftest import REAL, simulated_only
from tests.kit.fleet import Fleet
from tests.kit.http import http_client
from tests.kit.images import encode_image
from tests.kit.media import samples, wav

real_only = pytest.mark.skipif(not REAL, reason="what the nodes of ComfyUI make of a file")
LOADERS = {"audio": ("LoadAudio", "audio", 0), "video": ("LoadVideo", "file", 0), "latent": ("LoadLatent", "latent", 0),
           "model_3d": ("Load3D", "model_file", 6)}  # fmt: skip


@pytest.fixture(scope="module")
def own_key(fleet: Fleet) -> str:
    """The API key of a user whose policy allows the class that saves a file unchanged."""
    return fleet.create_user(f"files-{uuid4().hex[:8]}", "enterprise", graph_policy="open")


async def uploaded(client: httpx.AsyncClient, content: bytes) -> str:
    answer = await client.post("/upload", files={"file": ("a", content, "application/octet-stream")})
    assert answer.status_code in {200, 201}, answer.text
    return str(answer.json()["id"])


def loading(kind: str, name: str, picture: str = "") -> dict[str, Any]:
    class_type, place, _ = LOADERS[kind]
    inputs: dict[str, Any] = {place: name}
    if class_type == "Load3D":
        parts = {"image": picture, "mask": picture, "normal": picture, "camera_info": {}, "recording": ""}
        inputs |= {"image": parts, "width": 64, "height": 64}
    return {"class_type": class_type, "inputs": inputs}


def saved_as_is(kind: str, name: str, picture: str) -> dict[str, Any]:
    source = ["1", LOADERS[kind][2]]
    return {
        "1": loading(kind, name, picture),
        "2": {"class_type": "SimSaveFile", "inputs": {"source": source, "filename_prefix": "a"}},
    }


async def outputs_of(fleet: Fleet, client: httpx.AsyncClient, graph: dict[str, Any]) -> list[dict[str, Any]]:
    job = await fleet.submit(client, workflow=graph)
    ended = await fleet.wait_until_ended(client, job["job_id"])
    assert ended["status"] == "completed", ended
    return list(ended["outputs"])


@pytest.mark.requirement("submission.files")
@simulated_only
async def test_node_receives_exact_bytes_of_uploads_and_outputs(fleet: Fleet, own_key: str) -> None:
    async with fleet.client(own_key) as client:
        picture = await uploaded(client, encode_image(Image.new("RGB", (64, 64))))
        for extension in ("wav", "mp3", "mp4", "latent", "glb", "splat"):
            sample = samples()[extension]
            content = sample.content + os.urandom(16) if extension == "mp3" else sample.content
            graph = saved_as_is(sample.kind, await uploaded(client, content), picture)
            (output,) = await outputs_of(fleet, client, graph)
            assert output["sha256"] == hashlib.sha256(content).hexdigest(), extension
            assert output["name"].endswith(f".{extension}"), "loaders choose the format by the file extension"
            if extension == "splat":
                continue
            again = saved_as_is(sample.kind, f"output:{output['id']}", picture)
            (copied,) = await outputs_of(fleet, client, again)
            assert copied["sha256"] == output["sha256"]
            assert copied["id"] != output["id"]


@simulated_only
async def test_multi_chunk_file_arrives_complete(fleet: Fleet, own_key: str) -> None:
    content = wav(seconds=300)
    async with fleet.client(own_key) as client:
        (output,) = await outputs_of(fleet, client, saved_as_is("audio", await uploaded(client, content), ""))
        assert (output["size_bytes"], output["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


async def test_own_output_is_the_input_image_of_the_next_job(fleet: Fleet, client: httpx.AsyncClient) -> None:
    picture = await uploaded(client, encode_image(Image.new("RGB", (32, 32), (10, 20, 30))))
    inverting: dict[str, Any] = {
        "1": {"class_type": "LoadImage", "inputs": {"image": picture}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "a"}},
    }
    (first,) = await outputs_of(fleet, client, inverting)
    inverting["1"]["inputs"]["image"] = f"output:{first['id']}"
    (second,) = await outputs_of(fleet, client, inverting)
    answer = await client.get(second["url"])
    pixel = Image.open(BytesIO(answer.content)).convert("RGB").getpixel((5, 5))
    assert isinstance(pixel, tuple)
    assert all(abs(got - sent) <= 1 for got, sent in zip(pixel, (10, 20, 30), strict=True)), pixel
    async with fleet.client(fleet.credentials["admin_key"]) as other:
        refused = await other.post("/jobs", json={"workflow": inverting})
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert (error["code"], error["pointer"]) == ("file_not_uploaded", "/workflow/1/inputs/image")
    assert "output:<id of the output>" in error["message"]


async def test_upload_of_the_wrong_kind_is_refused_before_queueing(client: httpx.AsyncClient) -> None:
    sound, latent = await uploaded(client, wav()), await uploaded(client, samples()["latent"].content)
    for graph, message in (
        (
            {
                "1": {"class_type": "LoadImage", "inputs": {"image": sound}},
                "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "a"}},
            },
            "LoadImage.image takes an image, and this upload is a sound (audio/wav). Use an upload that is an image.",
        ),
        (
            {
                "1": {"class_type": "LoadAudio", "inputs": {"audio": latent}},
                "2": {"class_type": "PreviewAudio", "inputs": {"audio": ["1", 0]}},
            },
            (
                "LoadAudio.audio takes a video or a sound, and this upload is a latent (application/x-safetensors). "
                "Use an upload that is a video or a sound."
            ),
        ),
    ):
        answer = await client.post("/jobs", json={"workflow": graph})
        assert answer.status_code == 422, answer.text
        (error,) = answer.json()["errors"]
        assert (error["code"], error["message"]) == ("upload_of_wrong_kind", message)


@real_only
async def test_comfyui_loaders_accept_uploaded_files(fleet: Fleet, own_key: str) -> None:
    """Each file kind is loaded by its stock class and saved by another class."""
    async with fleet.client(own_key) as client:
        picture = await uploaded(client, encode_image(Image.new("RGB", (64, 64), "teal")))
        saving = {
            "audio": ("SaveAudio", "audio", 0),
            "video": ("SaveVideo", "video", 0),
            "latent": ("SaveLatent", "samples", 0),
            "model_3d": ("SaveGLB", "mesh", 6),
        }
        async with http_client() as node:
            described = (await node.get(f"{REAL}/object_info/Load3D")).json()
        models = ("glb", "obj") if "FILE_3D" in described["Load3D"]["output"] else ()  # 0.3.64: no file output
        for extension in ("wav", "mp3", "ogg", "flac", "m4a", "mp4", "webm", "mov", "latent", *models):
            sample = samples()[extension]
            class_type, place, slot = saving[sample.kind]
            inputs: dict[str, Any] = {place: ["1", slot], "filename_prefix": "a"}
            if class_type == "SaveVideo":
                inputs |= {"format": "auto", "codec": "auto", "format.codec": "auto"}  # nested since 0.33
            graph = {
                "1": loading(sample.kind, await uploaded(client, sample.content), picture),
                "2": {"class_type": class_type, "inputs": inputs},
            }
            (output,) = await outputs_of(fleet, client, graph)
            assert output["size_bytes"] > 0, extension
