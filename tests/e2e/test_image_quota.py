"""Image quota: images are counted by one rule at submission and at the end, and the quota is never exceeded."""

import asyncio
from typing import Any

import httpx
import pytest

from chassis.ids import new_id
from tests.e2e.conftest import simulated_only
from tests.kit.fleet import Fleet

pytestmark = simulated_only

Workflow = dict[str, Any]


def node(class_type: str, **inputs: Any) -> Workflow:
    return {"class_type": class_type, "inputs": inputs}


def images(batch: Any) -> Workflow:
    return node("EmptyImage", width=64, height=64, batch_size=batch, color=0)


def latents(batch: Any, side: int = 64) -> Workflow:
    return node("EmptyLatentImage", width=side, height=side, batch_size=batch)


def saved(source: str) -> Workflow:
    return node("SaveImage", images=[source, 0], filename_prefix="a")


def animated(source: str) -> Workflow:
    return node(
        "SaveAnimatedWEBP",
        images=[source, 0],
        filename_prefix="a",
        fps=6.0,
        lossless=True,
        quality=80,
        method="default",
    )


def webm(source: str) -> Workflow:
    return node("SaveWEBM", images=[source, 0], filename_prefix="a", codec="vp9", fps=24.0, crf=32.0)


def latent_file(source: str) -> Workflow:
    return node("SaveLatent", samples=[source, 0], filename_prefix="a")


FITS: dict[str, tuple[Workflow, int]] = {
    "an animated WebP of 16 frames": ({"1": images(16), "2": animated("1")}, 1),
    "an animated WebP of 40 frames": ({"1": images(40), "2": animated("1")}, 3),
    "a video of 160 frames": ({"1": images(160), "2": webm("1")}, 10),
    "a latent of eight": ({"1": latents(8), "2": latent_file("1")}, 8),
    "a latent of a video": (
        {"1": node("EmptyHunyuanLatentVideo", width=64, height=64, length=81, batch_size=1), "2": latent_file("1")},
        6,
    ),
    "sound": (
        {
            "1": node("EmptyAudio", duration=0.1, sample_rate=8000, channels=1),
            "2": node("SaveAudio", audio=["1", 0], filename_prefix="a"),
        },
        0,
    ),
    "text": ({"1": node("PreviewAny", source="a text")}, 0),
    "a batch by a link": ({"0": node("PrimitiveInt", value=4), "1": images(["0", 0]), "2": saved("1")}, 4),
    "a repeated image by a link": (
        {
            "0": node("PrimitiveInt", value=3),
            "1": images(2),
            "2": node("RepeatImageBatch", image=["1", 0], amount=["0", 0]),
            "3": saved("2"),
        },
        6,
    ),
    "a save beside its preview": ({"1": images(5), "2": saved("1"), "3": node("PreviewImage", images=["1", 0])}, 5),
}

TOO_MUCH: dict[str, Workflow] = {
    "a video of 500 frames": {"1": images(500), "2": webm("1")},
    "a video of 161 frames": {"1": images(161), "2": webm("1")},
    "latents": {"1": latents(11), "2": latent_file("1")},
    "256 images by a link": {"0": node("PrimitiveInt", value=256), "1": images(["0", 0]), "2": saved("1")},
    "a batch by the size of a picture": {
        "0": images(1),
        "1": node("GetImageSize", image=["0", 0]),
        "2": images(["1", 0]),
        "3": saved("2"),
    },
    "images joined": {
        "1": images(6),
        "2": node("ImageBatch", image1=["1", 0], image2=["1", 0]),
        "3": saved("2"),
    },
    "a repetition of repetitions": {
        "1": latents(1),
        "2": node("RepeatLatentBatch", samples=["1", 0], amount=4),
        "3": node("RepeatLatentBatch", samples=["2", 0], amount=4),
        "4": latent_file("3"),
    },
    "frames of a video as pictures": {
        "0": node("CheckpointLoaderSimple", ckpt_name="sim_xl.safetensors"),
        "1": node("EmptyHunyuanLatentVideo", width=64, height=64, length=33, batch_size=1),
        "2": node("VAEDecode", samples=["1", 0], vae=["0", 2]),
        "3": saved("2"),
    },
}

SAMPLER = {
    "0": node("CheckpointLoaderSimple", ckpt_name="sim_xl.safetensors"),
    "1": node("CLIPTextEncode", text="a", clip=["0", 1]),
    "2": latents(1),
    "3": node(
        "KSampler", model=["0", 0], positive=["1", 0], negative=["1", 0], latent_image=["2", 0], seed=1, steps=10_000,
        cfg=7.0, sampler_name="euler", scheduler="normal", denoise=1.0,
    ),
    "4": node("VAEDecode", samples=["3", 0], vae=["0", 2]),
    "5": saved("4"),
}  # fmt: skip

KILLERS: dict[str, tuple[Workflow, str]] = {
    "2,147 megapixels": ({**SAMPLER, "2": latents(8, 16384)}, "graph_too_large"),
    "10,000 steps": (SAMPLER, "too_many_steps"),
    "steps by a link": (
        {
            **SAMPLER,
            "8": node("PrimitiveInt", value=9_999),
            "3": {**SAMPLER["3"], "inputs": {**SAMPLER["3"]["inputs"], "steps": ["8", 0]}},
        },
        "too_many_steps",
    ),
    "a picture scaled 64 times": (
        {
            "1": node("EmptyImage", width=2048, height=2048, batch_size=1, color=0),
            "2": node("ImageScaleBy", image=["1", 0], upscale_method="area", scale_by=8.0),
            "3": node("ImageScaleBy", image=["2", 0], upscale_method="area", scale_by=8.0),
            "4": saved("3"),
        },
        "graph_too_large",
    ),
    "600 nodes": (
        {
            "0": images(1),
            **{str(n): node("ImageInvert", image=[str(n - 1), 0]) for n in range(1, 600)},
            "s": saved("9"),
        },
        "too_many_nodes",
    ),
    "a megabyte of text": ({"1": node("PreviewAny", source="x" * 1_000_000)}, "too_much_text"),
}


async def used(client: httpx.AsyncClient) -> int:
    """Return the number of images used today, read without a cache."""
    usage = (await client.get("/usage", params={"days": 1})).json()["usage"]
    return int(usage[0]["images"]) if usage else 0


@pytest.mark.parametrize(("workflow", "cost"), FITS.values(), ids=FITS)
async def test_reserved_and_final_cost_of_a_job_are_equal(fleet: Fleet, workflow: Workflow, cost: int) -> None:
    async with fleet.client(fleet.create_user(f"fits{new_id().hex[-12:]}", "free")) as client:
        answer = await client.post("/jobs", json={"workflow": workflow})
        assert answer.status_code == 201, answer.text
        assert answer.headers["x-quota-remaining"] == str(10 - cost)
        ended = await fleet.wait_until_ended(client, answer.json()["job_id"])
        assert (ended["status"], ended["warnings"]) == ("completed", [])
        assert await used(client) == cost


async def test_job_beyond_the_quota_is_refused_before_it_runs(fleet: Fleet) -> None:
    async with fleet.client(fleet.create_user("toomuch", "free")) as client:
        for name, workflow in TOO_MUCH.items():
            answer = await client.post("/jobs", json={"workflow": workflow})
            assert (answer.status_code, answer.json()["code"]) == (429, "quota.images_exceeded"), name
        assert await used(client) == 0


@pytest.mark.requirement("B-45")
async def test_graphs_that_would_exhaust_a_node_are_refused_with_advice(fleet: Fleet) -> None:
    async with fleet.client(fleet.create_user("killer", "free")) as client:
        for name, (workflow, code) in KILLERS.items():
            answer = await client.post("/jobs", json={"workflow": workflow})
            assert (answer.status_code, answer.json()["code"]) == (422, "workflow.invalid"), name
            assert code in {error["code"] for error in answer.json()["errors"]}, name
        answer = await client.post(
            "/jobs", json={"workflow": {"1": images(1), "2": saved("1")}, "run_within_seconds": 901}
        )
        assert (answer.status_code, answer.json()["code"]) == (422, "job.run_time_too_long")


async def test_job_that_exceeds_its_reservation_stores_only_the_reserved_images(fleet: Fleet) -> None:
    workflow = {"1": images(1), "2": node("SimMultiply", image=["1", 0], copies=35), "3": saved("2")}
    async with fleet.client(fleet.create_user("multiplier", "enterprise")) as client:
        me = (await client.get("/auth/me")).json()
        async with fleet.client(fleet.credentials["admin_key"]) as admin:
            ten = {"limits": {"images_per_day": 10}}
            assert (await admin.patch(f"/admin/users/{me['id']}", json=ten)).status_code == 200
        answers = await asyncio.gather(*(client.post("/jobs", json={"workflow": workflow}) for _ in range(10)))
        # Jobs that end meanwhile may use up the quota, so the last submissions may be refused.
        refused = {answer.json()["code"] for answer in answers if answer.status_code != 201}
        assert refused <= {"quota.images_exceeded"}
        accepted = [answer.json()["job_id"] for answer in answers if answer.status_code == 201]
        ended = [await fleet.wait_until_ended(client, job_id) for job_id in accepted]
        assert sum(len(job["outputs"]) for job in ended) == await used(client) == 10
        assert {job["status"] for job in ended} == {"completed"}
        told = [warning for job in ended for warning in job["warnings"]]
        assert {warning["code"] for warning in told} == {"quota.images_exceeded"}
        assert len(told) == len(ended)
