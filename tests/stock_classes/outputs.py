"""What a node keeps of a prompt, read from the node itself, in a form in which it can be compared."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from uuid import uuid4

import httpx

from tests.kit.waiting import until
from tests.stock_classes.graphs import Workflow

RUN_S = 120
MANY = 100  # values of one key
FLAGS = {"animated"}  # tell something of the files beside them
NAMES_FILES = {"result"}  # of the previews of 3D
_ADDRESS = re.compile(rb"0x[0-9a-f]{6,}")


@dataclass(frozen=True)
class Kept:
    """One output. ``content``: bytes of a file or of a text, without addresses of objects in memory."""

    node_id: str
    suffix: str
    content: bytes

    @property
    def is_message(self) -> bool:
        """Whether it is no output, but why there is none."""
        return not self.suffix

    def __str__(self) -> str:
        start = self.content[: 400 if self.is_message else 40]
        return f"{self.node_id}{self.suffix} ({len(self.content)} bytes: {start!r})"


Outputs = Counter[Kept]


def kept(node_id: str, suffix: str, content: bytes) -> Kept:
    if suffix == ".txt":
        content = _ADDRESS.sub(b"0x", content)
    if suffix == ".json":
        content = json.dumps(json.loads(content), sort_keys=True).encode()
    return Kept(node_id, suffix.lower(), content)


@dataclass(frozen=True)
class Failed(Exception):
    """A node refused or failed a prompt. ``reason``: as the node says it."""

    reason: str


async def run_on_node(client: httpx.AsyncClient, workflow: Workflow) -> Outputs:
    """Run a prompt to its end; everything that the node reports of it.

    Raises:
        Failed: the node refused it, or a class failed.
    """
    entry = await history_of(client, workflow)
    outputs: Outputs = Counter()
    for node_id, reported in entry["outputs"].items():
        for key, listed in reported.items():
            if key not in FLAGS:
                items = listed if isinstance(listed, list) else [listed]
                if len(items) > MANY and not any(map(list, map(files_in, items))):
                    items = [items]  # one output, as a job gives it
                for item in items:
                    outputs += await outputs_of(client, node_id, key, item)
    return outputs


async def outputs_of(client: httpx.AsyncClient, node_id: str, key: str, item: Any) -> Outputs:
    """What one item of a report stands for: files, a text or another value, or nothing."""
    files = list(files_in(item))
    if isinstance(item, str) and item and key in NAMES_FILES:
        kind, path = ("temp", item.removeprefix("temp/")) if item.startswith("temp/") else ("output", item)
        folder, _, name = path.rpartition("/")
        files = [{"filename": name, "subfolder": folder, "type": kind}]
    found: Outputs = Counter()
    for file in files:
        answer = (await client.get("/view", params=file)).raise_for_status()
        found[kept(node_id, PurePosixPath(file["filename"]).suffix, answer.content)] += 1
    if not files and item is not None:
        is_text = isinstance(item, str)
        found[
            kept(node_id, ".txt", item.encode()) if is_text else kept(node_id, ".json", json.dumps(item).encode())
        ] += 1
    return found


async def history_of(client: httpx.AsyncClient, workflow: Workflow) -> dict[str, Any]:
    """The history entry of a prompt that succeeded."""
    posted = await client.post("/prompt", json={"prompt": workflow, "prompt_id": str(uuid4())})
    if posted.status_code != 200:
        raise Failed(refusal(posted.json()))
    prompt_id = posted.json()["prompt_id"]
    entry: dict[str, Any] = {}

    async def has_ended() -> bool:
        entry.update((await client.get(f"/history/{prompt_id}")).json().get(prompt_id, {}))
        return bool(entry)

    await until(has_ended, within_s=RUN_S)
    if entry["status"]["status_str"] != "success":
        raise Failed(fault(entry))
    return entry


def refusal(body: Mapping[str, Any]) -> str:
    errors = [error for node in (body.get("node_errors") or {}).values() for error in node["errors"]]
    first = errors[0] if errors else body["error"]
    return f"refused: {first['message']} {first.get('details', '')}"[:200]


def fault(entry: Mapping[str, Any]) -> str:
    for name, data in entry["status"]["messages"]:
        if name == "execution_error":
            return f"failed in {data['node_type']}: {data['exception_type']}: {data['exception_message']}"[:200]
    return "failed"


def files_in(reported: Any) -> Iterator[dict[str, str]]:
    """The files in what a class reports, as ``/view`` takes them."""
    if isinstance(reported, Mapping):
        if isinstance(reported.get("filename"), str):
            if reported.get("type") in {"output", "temp"}:
                yield {name: reported.get(name, "") for name in ("filename", "subfolder", "type")}
            return
        reported = list(reported.values())
    if isinstance(reported, list):
        for one in reported:
            yield from files_in(one)
