"""The most frequent refusals over HTTP, word for word.

A reader who knows only ComfyUI and HTTP must learn from each text what is wrong and what to do next. ``refusals.md``
has the texts. After an intended change, write the file with ``REFUSALS=write`` and read the diff as that reader.
"""

import json
import os
import re
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from tests.e2e.conftest import simulated_only
from tests.e2e.test_limits import slow
from tests.kit.fleet import Fleet
from tests.kit.images import chunk, encode_image, png
from tests.kit.media import wav
from tests.kit.refused_graphs import node, saved

GOLDEN = Path(__file__).with_name("refusals.md")
UNKNOWN_ID = "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee"
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_GRAPH = json.dumps(saved())

Refused = tuple[str, httpx.Response]

BODIES: dict[str, Any] = {
    "Nothing to run": {},
    "Both a prompt and a workflow": {"prompt": "x", "workflow": saved()},
    "An unknown field": {"prompt": "x", "cfg": 7},
    "A text as the number of steps": {"prompt": "x", "steps": "20"},
    "A width that is not a multiple of 8": {"prompt": "x", "width": 100},
    "A width above its range": {"prompt": "x", "width": 4096},
    "A seed above its range": {"prompt": "x", "seed": 2**64},
    "randomize_seeds with a prompt": {"prompt": "x", "randomize_seeds": True},
    "A checkpoint that no node has": {"prompt": "x", "model": "nope.safetensors"},
    "A file name as the image of a prompt": {"prompt": "x", "image": "photo.png"},
    "A run time above the limit of the tier": {"prompt": "x", "run_within_seconds": 600_000},
    "A saved workflow that does not exist": {"workflow_name": "nowhere"},
    "A field of a submission beside the nodes": {**saved(), "priority": 1},
    "RunPod's wrapper with other fields": {"input": {"workflow": saved(), "images": []}},
    "An API key of comfy.org": {"prompt": saved(), "extra_data": {"api_key_comfy_org": "k"}},
    "A file of the editor that cannot be converted": {
        "nodes": [{"id": 1, "type": "EmptyImage", "widgets_values": ["x"]}],
        "links": [],
        "version": 0.4,
    },
    "More images than are left today": {"prompt": "x", "num_images": 10, "width": 64, "height": 64},
}
TEXTS = {
    "A trailing comma": _GRAPH[:-1] + ",}",
    "Two nodes with one id": '{"1": {}, "1": {}}',
    "No JSON at all": "prompt=x",
}


async def of_credentials(fleet: Fleet) -> AsyncIterator[Refused]:
    async with fleet.client("") as anybody:
        yield "No credential", await anybody.get("/jobs")
        yield "A wrong password", await anybody.post("/auth/login", json={"username": "demo", "password": "x"})
        account = {"username": "demo", "email": "somebody@example.com", "password": "correct horse battery"}
        yield "A username that is in use", await anybody.post("/auth/register", json=account)
        account = {"username": "a b", "email": "somebody", "password": "short"}
        yield "An invalid account", await anybody.post("/auth/register", json=account)
    async with fleet.client() as user:
        yield "An admin route", await user.get("/admin/users")
        created = await user.post("/auth/keys", json={"name": "reader", "scopes": ["jobs:read"]})
    async with fleet.client(created.json()["key"]) as reader:
        yield "A key without the scope", await reader.post("/jobs", json={"prompt": "x"})


async def of_requests(fleet: Fleet) -> AsyncIterator[Refused]:
    async with fleet.client(fleet.create_user("beginner", "free")) as free:
        fleet.set_limits((await free.get("/auth/me")).json()["id"], images_per_day=5, run_seconds=600)
        yield "A path that does not exist", await free.get("/prompt")
        yield "A method that the path does not have", await free.put("/jobs", json={})
        plain = {"Content-Type": "text/plain"}
        yield "Another media type", await free.post("/jobs", content="prompt=x", headers=plain)
        for title, text in TEXTS.items():
            yield title, await free.post("/jobs", content=text, headers={"Content-Type": "application/json"})
        for title, body in BODIES.items():
            yield title, await free.post("/jobs", json=body)
        parameters = {"color": {"node": "1", "input": "color", "minimum": 0, "maximum": 9}}
        created = await free.put("/workflows/plain", json={"workflow": saved(), "parameters": parameters})
        assert created.status_code == 201, created.text
        yield "An unknown parameter", await free.post("/workflows/plain/jobs", json={"colour": 1})
        yield "A parameter above its range", await free.post("/workflows/plain/jobs", json={"color": 10})
        yield "A cursor that no page gave", await free.get("/jobs", params={"cursor": "x"})
        yield "A job that does not exist", await free.get(f"/jobs/{UNKNOWN_ID}")
        key = {"Idempotency-Key": "k"}
        assert (await free.post("/jobs", json={"workflow": saved()}, headers=key)).status_code == 201
        yield "An Idempotency-Key with another body", await free.post("/jobs", json={"prompt": "x"}, headers=key)


async def of_uploads(fleet: Fleet) -> AsyncIterator[Refused]:
    async with fleet.client(fleet.create_user("uploader", "free")) as free:

        async def upload(content: bytes, field: str = "file") -> httpx.Response:
            return await free.post("/upload", files={field: ("a.png", content)})

        yield "An upload as JSON", await free.post("/upload", json={"image": "a.png"})
        yield "A form without a file", await free.post("/upload", files={"overwrite": (None, "true")})
        yield "A form field of another name", await upload(encode_image(Image.new("RGB", (8, 8))), "picture")
        frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
        animated = BytesIO()
        frames[0].save(animated, "PNG", save_all=True, append_images=frames[1:])
        yield "An animated image", await upload(animated.getvalue())
        yield "A GIF", await upload(encode_image(frames[0], "GIF"))
        yield "A file of no known type", await upload(b"a text")
        yield "A damaged image", await upload(encode_image(Image.effect_noise((64, 64), 50))[:200])
        yield "An image with too many pixels", await upload(png(20_000, 20_000, chunk(b"IDAT", b"")))
        yield "An upload that does not exist", await free.get(f"/uploads/{UNKNOWN_ID}")
        sound = (await upload(wav())).json()["id"]
        loading = saved(("2", 0), _2=node("LoadImage", image=sound))
        yield "A sound in LoadImage", await free.post("/jobs", json={"workflow": loading})


async def of_jobs(fleet: Fleet) -> AsyncIterator[Refused]:
    """Refusals that follow from the state of a job."""
    async with fleet.client(fleet.create_user("owner", "free", graph_policy="open")) as owner:
        me = (await owner.get("/auth/me")).json()
        done = (await fleet.submit(owner, workflow=saved()))["job_id"]
        await fleet.wait_until_ended(owner, done)
        yield "An output that does not exist", await owner.get(f"/jobs/{done}/result", params={"index": 1})
        failing = saved(("2", 0), _2=node("SimFail", image=["1", 0], exception_type="KeyError", message="'b'"))
        failed = (await fleet.submit(owner, workflow=failing))["job_id"]
        await fleet.wait_until_ended(owner, failed)
        yield "The result of a failed job", await owner.get(f"/jobs/{failed}/result")
        running = (await fleet.submit(owner, workflow=slow(120)))["job_id"]
        waiting = (await fleet.submit(owner, workflow=saved()))["job_id"]
        yield "The result of a waiting job", await owner.get(f"/jobs/{waiting}/result")
        fleet.set_limits(me["id"], queue_cap=1)
        yield "More waiting jobs than the tier allows", await owner.post("/jobs", json={"workflow": saved()})
        yield "The purge of a waiting job", await owner.delete(f"/jobs/{waiting}", params={"purge": True})
        await owner.delete(f"/jobs/{waiting}")
        yield "The result of a cancelled job", await owner.get(f"/jobs/{waiting}/result")
        await owner.delete(f"/jobs/{running}")


async def of_rates(fleet: Fleet) -> AsyncIterator[Refused]:
    async with fleet.client(fleet.create_user("hasty", "free")) as hasty:
        fleet.set_limits((await hasty.get("/auth/me")).json()["id"], requests_per_minute=1)
        answers = [await hasty.get("/jobs") for _ in range(3)]
        yield "More requests than the tier allows", answers[-1]


def written(title: str, answer: httpx.Response) -> str:
    body = answer.json()
    lines = [f"## {title}", "", f"{body['status']} `{body['code']}`: {body['detail']}", ""]
    for error in body.get("errors", ()):
        where = f" at `{error['pointer']}`" if error["pointer"] else ""
        lines.append(f"* `{error['code']}`{where}: {error['message']}")
    return _ID.sub("<id>", "\n".join(lines).rstrip())


@simulated_only
async def test_frequent_refusals_over_http_say_what_to_do_next(fleet: Fleet) -> None:
    kinds = (of_credentials, of_requests, of_uploads, of_jobs, of_rates)
    refused = [one for kind in kinds async for one in kind(fleet)]
    assert [title for title, answer in refused if answer.status_code < 400] == []
    text = "# Refusals over HTTP\n\n" + "\n\n".join(written(*one) for one in refused) + "\n"
    if os.environ.get("REFUSALS") == "write":
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()
