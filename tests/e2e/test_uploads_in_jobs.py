"""Uploaded images in jobs: the result depends only on the image that the user uploaded."""

import asyncio
import json
import os
import sys
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from PIL import Image

from executor.usecases.post_prompt import MAX_POSTS
from tests.e2e.conftest import REAL, simulated_only
from tests.kit.fleet import Fleet, is_processing
from tests.kit.http import http_client
from tests.kit.paused_nodes import no_job_ends
from tests.kit.waiting import until

SIZE = (128, 96)
MAX_JOBS = 5
OVER: dict[str, Any] = {"prompt": "a lighthouse", "steps": 2, "seed": 7}
if "COMFYUI_CHECKPOINT" in os.environ:
    OVER["model"] = os.environ["COMFYUI_CHECKPOINT"]


def png(color: str | tuple[int, int, int], size: tuple[int, int] = SIZE) -> bytes:
    sink = BytesIO()
    Image.new("RGB", size, color).save(sink, "PNG")
    return sink.getvalue()


def left_half() -> bytes:
    mask = Image.new("L", SIZE, 0)
    mask.paste(255, (0, 0, SIZE[0] // 2, SIZE[1]))
    sink = BytesIO()
    mask.save(sink, "PNG")
    return sink.getvalue()


def loading(image: str) -> dict[str, Any]:
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": image}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "a"}},
    }


async def upload(client: httpx.AsyncClient, content: bytes) -> str:
    answer = await client.post("/upload", files={"file": ("a.png", content, "image/png")})
    assert answer.status_code in {200, 201}, answer.text
    return str(answer.json()["id"])


async def made(fleet: Fleet, client: httpx.AsyncClient, **submission: Any) -> Image.Image:
    job = await fleet.submit(client, **submission)
    ended = await fleet.wait_until_ended(client, job["job_id"])
    assert ended["status"] == "completed", ended
    return Image.open(BytesIO((await client.get(f"/jobs/{job['job_id']}/result")).content)).convert("RGB")


def pixel(image: Image.Image, x: int, y: int) -> tuple[int, ...]:
    found = image.getpixel((x, y))
    assert isinstance(found, tuple)
    return found


@pytest.mark.requirement("table gateway.uploads", "table gateway.upload_uses", "submission.image")
async def test_image_to_image_uses_an_own_upload(fleet: Fleet, client: httpx.AsyncClient) -> None:
    red, blue = await upload(client, png("red")), await upload(client, png("blue"))
    over_red = await made(fleet, client, **OVER, image=red, denoise=0.4)
    over_blue = await made(fleet, client, **OVER, image=blue, denoise=0.4)
    assert over_red.size == over_blue.size == SIZE
    assert over_red.tobytes() != over_blue.tobytes()
    if not REAL:  # the output of a model is not predictable
        assert pixel(over_red, 120, 90)[0] > pixel(over_blue, 120, 90)[0]
    scaled = await fleet.submit(client, **OVER, image=red, width=64, num_images=2)
    ended = await fleet.wait_until_ended(client, scaled["job_id"])
    assert [ended["status"], len(ended["outputs"])] == ["completed", 2]
    assert ended["model"]
    assert ended["seed"] == 7
    assert Image.open(BytesIO((await client.get(f"/jobs/{scaled['job_id']}/result")).content)).size == (64, 48)
    thin = await upload(client, png("red", (4, 3000)))
    assert (await made(fleet, client, **OVER, image=thin, height=64)).size == (8, 64)


@pytest.mark.requirement("submission.mask")
async def test_inpainting_changes_only_the_masked_area(fleet: Fleet, client: httpx.AsyncClient) -> None:
    image, mask = await upload(client, png("red")), await upload(client, left_half())
    painted = await made(fleet, client, **OVER, image=image, mask=mask)
    plain = await made(fleet, client, **OVER, image=image, mask=await upload(client, png("black")))
    assert painted.tobytes() != plain.tobytes()
    if not REAL:
        assert pixel(plain, 10, 90) == (255, 0, 0)
        assert pixel(painted, 120, 90) == (255, 0, 0)
        assert pixel(painted, 10, 90) != (255, 0, 0)
    scaled = await made(fleet, client, **OVER, image=image, mask=mask, width=64, height=64)
    assert scaled.size == (64, 64)


@pytest.mark.requirement("submission.upload-ids")
async def test_upload_can_be_used_in_every_file_input(fleet: Fleet, client: httpx.AsyncClient) -> None:
    image = await upload(client, png((10, 20, 30)))
    graph = loading(image)
    assert pixel(await made(fleet, client, workflow=graph), 5, 5) == (245, 235, 225)
    name = f"invert-{fleet.process.pid}"
    parameters = {"picture": {"node": "1", "input": "image"}}
    saved = await client.put(f"/workflows/{name}", json={"workflow": graph, "parameters": parameters})
    assert saved.status_code == 201, saved.text
    white = await upload(client, png("white"))
    inverted = await made(fleet, client, workflow_name=name, parameters={"picture": white})
    assert pixel(inverted, 5, 5) == (0, 0, 0)
    connection, _ = await fleet.connect_external_system()
    try:  # the tenant of this NATS connection is the demo user, too
        answer = await connection.request("jobs.submit", f'{{"prompt": "a", "image": "{image}"}}'.encode(), timeout=10)
        assert b'"job_id"' in answer.data, answer.data
    finally:
        await connection.close()


@pytest.mark.requirement("submission.image-shape")
async def test_extreme_image_shape_is_refused(fleet: Fleet, client: httpx.AsyncClient) -> None:
    asked = {"width": 2048, "height": 64}
    icon, speck = await upload(client, png("red", (32, 32))), await upload(client, png("red", (4, 1)))
    cut = {"image": ["1", 0], "upscale_method": "lanczos", "crop": "center", **asked}
    if not REAL:  # a real node may have more inputs
        graph = loading(icon) | {"2": {"class_type": "ImageScale", "inputs": cut}}
        black = await made(fleet, client, workflow=graph)
        assert (black.size, black.getbbox()) == ((2048, 64), None), "the crop leaves nothing: black"
    answer = await client.post("/jobs", json={**OVER, "image": icon, **asked})
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert (error["code"], error["pointer"]) == ("image_shape", "/image")
    larger = await upload(client, png("red", (34, 34)))
    assert (await made(fleet, client, **OVER, image=larger, **asked)).size == (2048, 64)
    assert (await made(fleet, client, **OVER, image=speck)).size == (32, 8)


async def expire(fleet: Fleet, *uploads: str) -> None:
    """Set uploads to expired; the retention loop deletes them."""
    lines = (fleet.state / "env/gateway.env").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if "=" in line)
    database = await asyncpg.connect(settings["GATEWAY_DATABASE_URL"].replace("postgresql+asyncpg", "postgresql"))
    try:
        await database.execute("UPDATE uploads SET expires_at = now() WHERE id = ANY($1::uuid[])", uploads)
    finally:
        await database.close()


@pytest.mark.requirement("submission.stays-accepted")
async def test_replay_is_accepted_after_its_upload_expired(fleet: Fleet, client: httpx.AsyncClient) -> None:
    image, mask = await upload(client, png("navy")), await upload(client, left_half())
    drawn, whole = {**OVER, "image": image, "mask": mask, "width": 64}, {"workflow": loading(image)}
    sent = [("/jobs", drawn), ("/jobs", whole), ("/jobs/batch", {"jobs": [drawn]})]

    async def answers(key: str) -> list[dict[str, Any]]:
        said = [
            await client.post(path, json=body, headers={"Idempotency-Key": f"{key}-{number}"})
            for number, (path, body) in enumerate(sent)
        ]
        return [{"status": answer.status_code} | answer.json() for answer in said]

    def ids(said: list[dict[str, Any]]) -> list[str]:
        *single, batch = said
        return [*(one["job_id"] for one in single), batch["jobs"][0]["job"]["job_id"]]

    key = str(uuid4())
    accepted = ids(await answers(key))
    for job_id in accepted:
        assert (await fleet.wait_until_ended(client, job_id))["status"] == "completed"
    await expire(fleet, image, mask)

    async def gone() -> bool:
        return {(await client.get(f"/uploads/{one}")).status_code for one in (image, mask)} == {404}

    await until(gone)
    assert ids(await answers(key)) == accepted
    *refused, batch = await answers(str(uuid4()))
    assert [one["errors"][0]["code"] for one in refused] == ["file_not_uploaded"] * 2
    assert batch["jobs"][0]["status"] == 422, "a new job cannot use an expired upload"


@pytest.mark.parametrize(
    ("submission", "pointer"),
    [
        ({"prompt": "a", "image": "{theirs}"}, "/image"),
        ({"prompt": "a", "image": "{mine}", "mask": "{theirs}"}, "/mask"),
        ({"workflow": loading("{theirs}")}, "/workflow/1/inputs/image"),
        ({"workflow": loading("comfyfleet/a.png")}, "/workflow/1/inputs/image"),
        ({"workflow": loading("{mine} [output]")}, "/workflow/1/inputs/image"),
    ],
    ids=["image", "mask", "workflow", "path", "annotated"],
)
async def test_upload_of_another_tenant_is_refused(
    fleet: Fleet, client: httpx.AsyncClient, submission: dict[str, Any], pointer: str
) -> None:
    async with fleet.client(fleet.credentials["admin_key"]) as other:
        ids = {"mine": await upload(client, png("red")), "theirs": await upload(other, png("green"))}
    sent = json.loads(json.dumps(submission).replace("{mine}", ids["mine"]).replace("{theirs}", ids["theirs"]))
    answer = await client.post("/jobs", json=sent)
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert (error["code"], error["pointer"]) == ("file_not_uploaded", pointer)


@simulated_only
async def test_job_survives_an_executor_kill_between_staging_and_posting(
    fleet: Fleet, client: httpx.AsyncClient
) -> None:
    image = await upload(client, png("purple"))
    posts: list[int] = []
    for _ in range(MAX_JOBS):
        ended, refused_posts = await run_with_executor_kill(fleet, client, image)
        posts.append(refused_posts)
        if refused_posts < MAX_POSTS:
            assert ended["status"] == "completed", ended
            return
    pytest.fail(f"each executor gave up before it was killed: {posts}")


async def run_with_executor_kill(fleet: Fleet, client: httpx.AsyncClient, image: str) -> tuple[dict[str, Any], int]:
    """Kill an executor after its node refused its first prompt. Return the ended job and the number of refusals."""

    async def count_posts() -> list[int]:
        return [await fleet.count_fault_occurrences("prompt_500", node) for node in range(len(fleet.nodes))]

    async def was_posted() -> bool:
        return await count_posts() != before

    for node in range(len(fleet.nodes)):
        await fleet.arm_fault("prompt_500", node, count=1000)
    before = await count_posts()
    job = await fleet.submit(client, **OVER, image=image)
    await until(was_posted)
    node = next(node for node, count in enumerate(await count_posts()) if count > before[node])
    killed = fleet.kill(f"executor-{node + 1}")
    posts = sum(await count_posts()) - sum(before)
    async with http_client() as nodes:
        for url in fleet.nodes:
            await nodes.delete(f"{url}/simnode/faults")
    await fleet.wait_until_replaced(f"executor-{node + 1}", killed)
    return await fleet.wait_until_ended(client, job["job_id"]), posts


@simulated_only
async def test_upload_is_kept_while_its_job_runs_and_when_the_job_runs_again(
    fleet: Fleet, client: httpx.AsyncClient
) -> None:
    image = await upload(client, png("orange"))
    async with no_job_ends(fleet):
        job = await fleet.submit(client, workflow=loading(image))
        await until(partial(is_processing, client, job["job_id"]))
        assert (await client.delete(f"/uploads/{image}")).status_code == 409
    done = await fleet.wait_until_ended(client, job["job_id"])
    assert done["status"] == "completed"
    failing = {"image": ["1", 0], "exception_type": "ValueError", "message": "told to"}
    job = await fleet.submit(client, workflow=loading(image) | {"2": {"class_type": "SimFail", "inputs": failing}})
    first = await fleet.wait_until_ended(client, job["job_id"])
    assert first["error"]["code"] == "workflow.execution_failed"
    async with fleet.client(fleet.credentials["admin_key"]) as admin:
        answer = await admin.post(f"/admin/jobs/{job['job_id']}/requeue")
        assert answer.status_code == 200, answer.text
        again = await fleet.wait_until_ended(client, answer.json()["job_id"])
        assert (again["job_id"] != first["job_id"], again["error"]["code"]) == (True, first["error"]["code"])
        twice = await admin.post(f"/admin/jobs/{job['job_id']}/requeue")
        assert twice.json()["job_id"] == again["job_id"]
        assert (await admin.post(f"/admin/jobs/{done['job_id']}/requeue")).status_code == 409
    # Neither the existing retry nor the refused one prevents the deletion of the upload.
    assert (await client.delete(f"/uploads/{image}")).status_code == 204


@simulated_only
async def test_cli_uploads_the_input_image(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png("red"))
    (tmp_path / "m.png").write_bytes(left_half())
    shell = {**os.environ, "COMFYFLEET_URL": fleet.base_url, "COMFYFLEET_KEY": fleet.key}
    words = ["submit", "-p", "night", "--image", "a.png", "--mask", "m.png", "--steps", "2", "-o", "out"]
    ran = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("comfyfleet")), *words, cwd=tmp_path, env=shell
    )
    async with asyncio.timeout(60):
        assert await ran.wait() == 0
    (made_,) = (tmp_path / "out").rglob("*.png")
    assert pixel(Image.open(made_).convert("RGB"), 120, 90) == (255, 0, 0)
