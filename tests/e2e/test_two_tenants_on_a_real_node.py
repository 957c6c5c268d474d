"""Two tenants share one real ComfyUI: no class reveals data of the first tenant to the second."""

import asyncio
import json
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, AnyStr

import httpx
import pytest
from PIL import Image, UnidentifiedImageError

from tests.e2e.conftest import REAL
from tests.kit.fleet import Fleet
from tests.kit.http import http_client

pytestmark = [
    pytest.mark.skipif(not REAL, reason="needs a real ComfyUI (COMFYUI_URL)"),
    pytest.mark.timeout(1200),
]

SECRET_COLOR = (13, 201, 77)
AT_ONCE = 3
KNOWN_FOLDERS = ("comfyfleet", "3d", ".", "..", "../output", "../temp", "")
PRODUCES_TEXT = frozenset({"STRING", "INT", "FLOAT", "BOOLEAN", "COMBO", "*"})

Graph = dict[str, dict[str, Any]]


@dataclass
class Seen:
    """Everything that a tenant received."""

    texts: list[str] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)

    def answer(self, response: httpx.Response) -> None:
        self.texts.append(response.text)


@dataclass(frozen=True)
class Leftovers:
    """Data that the first tenant left on the node; the attacker is assumed to know all of it."""

    words: tuple[str, ...]
    job_ids: tuple[str, ...]
    upload_ids: tuple[str, ...]
    file_names: tuple[str, ...]


def secret_picture() -> bytes:
    sink = BytesIO()
    Image.new("RGB", (64, 48), SECRET_COLOR).save(sink, "PNG")
    return sink.getvalue()


def shows_secret_picture(content: bytes) -> bool:
    try:
        colors = Image.open(BytesIO(content)).convert("RGB").resize((64, 48)).getcolors(64 * 48)
    except (UnidentifiedImageError, OSError, ValueError):
        return False
    return any(color == SECRET_COLOR for _, color in colors or ())


def private_graphs(word: str, upload: str) -> Iterator[Graph]:
    """Return thirty workflows with a secret word in texts, titles, file names and images."""
    load = {"class_type": "LoadImage", "inputs": {"image": upload}, "_meta": {"title": word}}
    for number in range(6):
        text = {"class_type": "PrimitiveString", "inputs": {"value": f"{word} {number}"}}
        yield {"1": text, "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}}
        yield {
            "1": load,
            "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": f"{word}{number}"}},
        }
        yield {"1": load, "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}, "3": text}
        yield {
            "1": load,
            "2": {
                "class_type": "SaveAnimatedWEBP",
                "inputs": {
                    "images": ["1", 0],
                    "filename_prefix": word,
                    "fps": 4.0 + number,
                    "lossless": True,
                    "quality": 80,
                    "method": "default",
                },
            },
        }
        yield {
            "1": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1 + number}},
            "2": {"class_type": "SaveLatent", "inputs": {"samples": ["1", 0], "filename_prefix": f"{word}-latent"}},
            "3": {"class_type": "PrimitiveString", "inputs": {"value": word}, "_meta": {"title": word}},
        }


def required_inputs(described: dict[str, Any]) -> dict[str, Any]:
    return dict(described["input"].get("required") or {})


def is_link_only(kind: Any) -> bool:
    return isinstance(kind, str) and kind not in {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}


def options_of(declared: list[Any]) -> list[Any] | None:
    kind, extra = declared[0], declared[1] if len(declared) > 1 and isinstance(declared[1], dict) else {}
    if isinstance(kind, list):
        return kind
    return extra.get("options", []) if kind == "COMBO" else None


def default_of(declared: list[Any]) -> Any:
    kind, extra = declared[0], declared[1] if len(declared) > 1 and isinstance(declared[1], dict) else {}
    if "default" in extra:
        return extra["default"]
    options = options_of(declared)
    if options is not None:
        return options[0] if options else ""
    return {"INT": extra.get("min", 1), "FLOAT": extra.get("min", 1.0), "BOOLEAN": False}.get(kind, "")


def shown(graph: Graph, node_id: str, outputs: list[Any]) -> Graph:
    """Add output nodes to the graph that show each output of a node."""
    for slot, kind in enumerate(outputs):
        if kind == "IMAGE":
            graph[f"show{slot}"] = {"class_type": "PreviewImage", "inputs": {"images": [node_id, slot]}}
        elif kind == "LATENT":
            graph[f"show{slot}"] = {
                "class_type": "SaveLatent",
                "inputs": {"samples": [node_id, slot], "filename_prefix": "b"},
            }
        elif kind in PRODUCES_TEXT:
            graph[f"show{slot}"] = {"class_type": "PreviewAny", "inputs": {"source": [node_id, slot]}}
    return graph


def probes(catalog: dict[str, Any], left: Leftovers) -> Iterator[Graph]:
    """Return graphs of every class that needs no link, with inputs set to names of the other tenant's data."""
    named = [*left.file_names, *left.job_ids, *left.upload_ids, *KNOWN_FOLDERS]
    names = [*named, *(f"{name} [output]" for name in left.file_names), *(f"{name} [temp]" for name in left.file_names)]
    for class_type, described in sorted(catalog.items()):
        required = required_inputs(described)
        if any(is_link_only(declared[0]) for declared in required.values()):
            continue
        base = {name: default_of(declared) for name, declared in required.items()}
        yield shown({"1": {"class_type": class_type, "inputs": dict(base)}}, "1", described["output"])
        if described["python_module"].startswith("comfy_api_nodes"):
            continue  # refused whatever their inputs are
        for name, declared in required.items():
            options = options_of(declared)
            if options is None and declared[0] != "STRING":
                continue
            for value in [*names, *(options or [])[:5]]:
                graph: Graph = {"1": {"class_type": class_type, "inputs": base | {name: value}}}
                yield shown(graph, "1", described["output"])
            linked: Graph = {
                "0": {"class_type": "PrimitiveString", "inputs": {"value": "comfyfleet"}},
                "1": {"class_type": class_type, "inputs": base | {name: ["0", 0]}},
            }
            yield shown(linked, "1", described["output"])
            wrapped: Graph = {"1": {"class_type": class_type, "inputs": base | {name: {"__value__": names[0]}}}}
            yield shown(wrapped, "1", described["output"])


def without(content: AnyStr, parts: Iterable[AnyStr]) -> AnyStr:
    """Remove every occurrence of the parts, the longest first."""
    for part in sorted(parts, key=len, reverse=True):
        content = content.replace(part, content[:0])
    return content


async def run(fleet: Fleet, client: httpx.AsyncClient, graph: Graph, seen: Seen) -> dict[str, Any] | None:
    """Submit a graph and collect everything that the tenant receives. Return None if the graph is refused."""
    answer = await client.post("/jobs", json={"workflow": graph, "run_within_seconds": 5})
    seen.answer(answer)
    if answer.status_code != 201:
        assert answer.status_code in {422, 413}, answer.text
        return None
    job = await fleet.wait_until_ended(client, answer.json()["job_id"], within_s=240)
    seen.texts.append(json.dumps(job))
    for output in job["outputs"]:
        content = await client.get(output["url"].removeprefix(fleet.base_url + "/api/v1"))
        seen.contents.append(content.content)
    return job


@pytest.mark.parametrize("policy", ["strict", "open"])
async def test_second_tenant_obtains_nothing_of_the_first_through_any_class(fleet: Fleet, policy: str) -> None:
    assert REAL
    word = f"canary{secrets.token_hex(8)}"
    async with http_client(timeout=60) as raw:
        catalog = (await raw.get(f"{REAL}/object_info")).json()
    alice_key = await asyncio.to_thread(
        fleet.create_user, f"alice{secrets.token_hex(4)}", "enterprise", graph_policy=policy
    )
    bob_key = await asyncio.to_thread(
        fleet.create_user, f"bob{secrets.token_hex(4)}", "enterprise", graph_policy=policy
    )
    async with fleet.client(alice_key) as alice, fleet.client(bob_key) as bob:
        sent = await alice.post("/upload", files={"file": (f"{word}.png", secret_picture(), "image/png")})
        assert sent.status_code == 201, sent.text
        upload = sent.json()["id"]
        mine, jobs = Seen(), []
        for graph in private_graphs(word, upload):
            job = await run(fleet, alice, graph, mine)
            assert job is not None, mine.texts[-1]
            assert job["status"] == "completed", job
            jobs.append(job)
        assert len(jobs) == 30
        assert any(shows_secret_picture(content) for content in mine.contents)  # proves that the detector works
        assert any(word.encode() in content for content in mine.contents)
        names = [output["name"] for job in jobs for output in job["outputs"]]
        left = Leftovers(
            words=(word,),
            job_ids=tuple(job["job_id"] for job in jobs[:2]),
            upload_ids=(upload,),
            file_names=(names[1], f"{jobs[1]['job_id']}/1/{names[1]}", "comfyfleet/" + names[1]),
        )
        seen, slots, counts = Seen(), asyncio.Semaphore(AT_ONCE), {"run": 0, "refused": 0}

        async def attack(graph: Graph) -> None:
            async with slots:
                job = await run(fleet, bob, graph, seen)
                counts["run" if job else "refused"] += 1

        await asyncio.gather(*map(attack, probes(catalog, left)))
        cursor: str | None = ""
        while cursor is not None:
            page = await bob.get("/nodes/classes", params={"limit": 100} | ({"cursor": cursor} if cursor else {}))
            seen.answer(page)
            cursor = page.json()["next_cursor"]
        for path in ("/models", "/jobs", "/usage"):
            seen.answer(await bob.get(path))
    assert counts["run"] > 50, counts
    assert counts["refused"] > 50, counts
    print(f"second tenant's graphs: {counts}, bytes received: {sum(map(len, seen.contents))}")
    asked_for = {*left.file_names, *left.job_ids, *left.upload_ids}  # a tenant may receive what it sent itself
    for text in seen.texts:
        assert word not in without(text, asked_for), text[:2000]
    for content in seen.contents:
        assert word.encode() not in without(content, {name.encode() for name in asked_for}), content[:2000]
        assert not shows_secret_picture(content)
