"""The most frequent refusals, word for word: somebody who only knows ComfyUI must learn from each what to do next.

``refusals.md`` has them all. Where a text changes on purpose, write it with ``REFUSALS=write`` and read the diff as
that person.
"""

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.conftest import simulated_only
from tests.e2e.test_limits import slow
from tests.kit.fleet import Fleet

GOLDEN = Path(__file__).with_name("refusals.md")
IMAGE: dict[str, Any] = {"width": 64, "height": 64, "batch_size": 1, "color": 0}
NOWHERE = "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee"

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_COUNT = re.compile(r"lists the \d+ ")  # of what a simulated node has; grows with it

Told = tuple[str, httpx.Response]


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": {name.replace("__", "."): value for name, value in inputs.items()}}


def image(**inputs: Any) -> dict[str, Any]:
    given = {name: value for name, value in {**IMAGE, **inputs}.items() if value is not ...}
    return node("EmptyImage", **given)


def saved(source: Any = ("1", 0), **nodes: Any) -> dict[str, Any]:
    """A graph that saves one image; further nodes by their ids after an underscore."""
    save = node("SaveImage", images=list(source) if isinstance(source, tuple) else source, filename_prefix="a")
    return {"1": image(), **{name.removeprefix("_"): one for name, one in nodes.items()}, "9": save}


def sampled(*, ckpt_name: str = "sim_xl.safetensors", **inputs: Any) -> dict[str, Any]:
    """A graph that samples one image."""
    usual = {"seed": 1, "steps": 1, "cfg": 1.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    links = {"model": ["2", 0], "positive": ["4", 0], "negative": ["4", 0], "latent_image": ["3", 0]}
    return saved(
        ("6", 0),
        _2=node("CheckpointLoaderSimple", ckpt_name=ckpt_name),
        _3=node("EmptyLatentImage", width=64, height=64, batch_size=1),
        _4=node("CLIPTextEncode", text="a", clip=["2", 1]),
        _5=node("KSampler", **{**links, **usual, **inputs}),
        _6=node("VAEDecode", samples=["5", 0], vae=["2", 2]),
    )


GRAPHS: dict[str, dict[str, Any]] = {
    "An empty workflow": {},
    "A node without class_type": {"1": {"inputs": {}}},
    "A class that no node has": {**saved(), "1": node("EmptyImag", **IMAGE)},
    "A class that the graph policy refuses": saved(_2=node("CheckpointSave", filename_prefix="x")),
    "A class of a custom pack": saved(("2", 0), _2=node("SimSleep", image=["1", 0], seconds=1)),
    "No output node": {"1": image()},
    "A missing value": {**saved(), "1": image(width=...)},
    "A missing link": saved(None),
    "A value below its range": {**saved(), "1": image(width=0)},
    "A value above its range": {**saved(), "1": image(width=99_999)},
    "A seed of -2": sampled(seed=-2),
    "A model that nobody has": sampled(ckpt_name="sim_x1.safetensors"),
    "A text where a number belongs": {**saved(), "1": image(width="wide")},
    "The text false for a boolean": saved(
        _2=node(
            "SaveAnimatedWEBP", images=["1", 0], filename_prefix="a", fps=6, lossless="false", quality=80,
            method="default",
        ),
    ),
    "A value that is not in a short list": saved(
        ("2", 0), _2=node("ImageScale", image=["1", 0], upscale_method="lanczo", width=8, height=8, crop="disabled")
    ),
    "A link of the wrong type": saved(("2", 0), _2=node("EmptyLatentImage", width=64, height=64, batch_size=1)),
    "A file name where a link belongs": saved("photo.png"),
    "A link with its node as a number": saved([1, 0]),
    "A link with its output as text": saved(["1", "0"]),
    "A link to a node that is not there": saved(["11", 0]),
    "A link to an output that is not there": saved(["1", 5]),
    "A list of three": saved(["1", 0, 0]),
    "A link inside of a wrapper": saved({"__value__": ["1", 0]}),
    "A circle": saved(("2", 0), _2=node("ImageInvert", image=["3", 0]), _3=node("ImageInvert", image=["2", 0])),
    "A file name in LoadImage": saved(("2", 0), _2=node("LoadImage", image="photo.png")),
    "A model by a link": saved(
        _2=node("CheckpointLoaderSimple", ckpt_name=["3", 0]),
        _3=node("PrimitiveString", value="a"),
        _4=node("PreviewAny", source=["2", 0]),
    ),
    "A part of a dynamic combo is missing": saved(
        ("2", 0),
        _2=node(
            "ResizeImageMaskNode", input=["1", 0], scale_method="area", resize_type="scale dimensions",
            resize_type__width=8, resize_type__height=8,
        ),
    ),
    "An autogrow input without its group": saved(("2", 0), _2=node("BatchImagesNode", image0=["1", 0])),
    "More pixels than the tier allows": {**saved(), "1": image(width=16_384, height=16_384, batch_size=16)},
    "An integer beyond 64 bits": {**saved(), "1": image(color=2**70)},
}  # fmt: skip

BODIES: dict[str, Any] = {
    "Nothing to run": {},
    "A prompt and a workflow": {"prompt": "x", "workflow": saved()},
    "A field that does not exist": {"prompt": "x", "cfg": 7},
    "A width that is no multiple of 8": {"prompt": "x", "width": 100},
    "A seed of a prompt beyond its range": {"prompt": "x", "seed": 2**64},
    "randomize_seeds with a prompt": {"prompt": "x", "randomize_seeds": True},
    "A model of a prompt that nobody has": {"prompt": "x", "model": "nope.safetensors"},
    "A run time beyond the tier": {"prompt": "x", "run_within_seconds": 600_000},
    "A saved workflow that is not there": {"workflow_name": "nowhere"},
    "More images than are left today": {"prompt": "x", "num_images": 10, "width": 64, "height": 64},
}


async def refusals(fleet: Fleet) -> AsyncIterator[Told]:
    async with fleet.client("") as anybody:
        yield "No credential", await anybody.get("/jobs")
        yield "A wrong password", await anybody.post("/auth/login", json={"username": "demo", "password": "x"})
    async with fleet.client(fleet.new_user("beginner", "free")) as free:
        me = (await free.get("/auth/me")).json()
        fleet.limit(me["id"], images_per_day=5, run_seconds=600)
        yield (
            "Another media type",
            await free.post("/jobs", content=b"prompt=x", headers={"Content-Type": "text/plain"}),
        )
        for title, graph in GRAPHS.items():
            yield title, await free.post("/jobs", json={"workflow": graph})
        for title, body in BODIES.items():
            yield title, await free.post("/jobs", json=body)
        parameters = {"color": {"node": "1", "input": "color", "minimum": 0, "maximum": 9}}
        await free.put("/workflows/plain", json={"workflow": saved(), "parameters": parameters})
        yield "A parameter that is not there", await free.post("/workflows/plain/jobs", json={"colour": 1})
        yield "A parameter beyond its range", await free.post("/workflows/plain/jobs", json={"color": 10})
        yield "An upload that is not there", await free.get(f"/uploads/{NOWHERE}")
        yield "A cursor of another list", await free.get("/jobs", params={"cursor": "x"})
        yield "A job that is not there", await free.get(f"/jobs/{NOWHERE}")
        key = {"Idempotency-Key": "k"}
        await free.post("/jobs", json={"workflow": saved()}, headers=key)
        yield "A key with another body", await free.post("/jobs", json={"prompt": "x"}, headers=key)
    async for told in of_jobs(fleet):
        yield told
    async with fleet.client(fleet.new_user("hasty", "free")) as hasty:
        fleet.limit((await hasty.get("/auth/me")).json()["id"], requests_per_minute=1)
        answers = [await hasty.get("/jobs") for _ in range(3)]
        yield "More requests than the tier allows", answers[-1]


async def of_jobs(fleet: Fleet) -> AsyncIterator[Told]:
    """What is refused because of how a job stands."""
    async with fleet.client(fleet.new_user("owner", "free", graph_policy="open")) as owner:
        me = (await owner.get("/auth/me")).json()
        failing = saved(("2", 0), _2=node("SimFail", image=["1", 0], exception_type="KeyError", message="'b'"))
        failed = (await fleet.submit(owner, workflow=failing))["job_id"]
        await fleet.ended(owner, failed)
        yield "The result of a failed job", await owner.get(f"/jobs/{failed}/result")
        running = (await fleet.submit(owner, workflow=slow(120)))["job_id"]
        waiting = (await fleet.submit(owner, workflow=saved()))["job_id"]
        yield "The result of a waiting job", await owner.get(f"/jobs/{waiting}/result")
        fleet.limit(me["id"], queue_cap=1)
        yield "More waiting jobs than the tier allows", await owner.post("/jobs", json={"workflow": saved()})
        yield "A purge of a waiting job", await owner.delete(f"/jobs/{waiting}", params={"purge": True})
        await owner.delete(f"/jobs/{waiting}")
        yield "The result of a cancelled job", await owner.get(f"/jobs/{waiting}/result")
        await owner.delete(f"/jobs/{running}")


def written(title: str, answer: httpx.Response) -> str:
    """A refusal as somebody reads it."""
    body = answer.json()
    lines = [f"## {title}", "", f"{body['status']} `{body['code']}`: {body['detail']}", ""]
    for error in body.get("errors", ()):
        where = f" at `{error['pointer']}`" if error["pointer"] else ""
        lines.append(f"* `{error['code']}`{where}: {error['message']}")
    return _COUNT.sub("lists the N ", _ID.sub("<id>", "\n".join(lines).rstrip()))


@simulated_only
async def test_frequent_refusals_say_what_to_do_next_word_for_word(fleet: Fleet) -> None:
    told = [one async for one in refusals(fleet)]
    accepted = [title for title, answer in told if answer.status_code < 400]
    assert accepted == []
    text = "# Refusals\n\n" + "\n\n".join(written(*one) for one in told) + "\n"
    if os.environ.get("REFUSALS") == "write":
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()
