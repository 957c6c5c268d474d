"""Reads the outputs of a prompt directly from its node, in a comparable form."""

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
MANY = 100  # more values under one key count as one output
FLAGS = {"animated"}  # keys whose values describe the files of other keys
NAMES_FILES = {"result"}  # keys whose texts name files; 3D previews use them
_ADDRESS = re.compile(rb"0x[0-9a-f]{6,}")


@dataclass(frozen=True)
class StoredOutput:
    """One output. ``content``: bytes of a file or text, without memory addresses."""

    node_id: str
    suffix: str
    content: bytes

    @property
    def is_message(self) -> bool:
        """Return whether this is the reason for a missing output rather than an output."""
        return not self.suffix

    def __str__(self) -> str:
        start = self.content[: 400 if self.is_message else 40]
        return f"{self.node_id}{self.suffix} ({len(self.content)} bytes: {start!r})"


Outputs = Counter[StoredOutput]


def build_stored_output(node_id: str, suffix: str, content: bytes) -> StoredOutput:
    if suffix == ".txt":
        content = _ADDRESS.sub(b"0x", content)
    if suffix == ".json":
        content = json.dumps(json.loads(content), sort_keys=True).encode()
    return StoredOutput(node_id, suffix.lower(), content)


@dataclass(frozen=True)
class Failed(Exception):
    """A node refused or failed a prompt. ``reason``: the node's message."""

    reason: str


async def run_on_node(client: httpx.AsyncClient, workflow: Workflow) -> Outputs:
    """Run a prompt; returns everything that the node reports.

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
                    items = [items]  # a job returns them as one output, too
                for item in items:
                    outputs += await outputs_of(client, node_id, key, item)
    return outputs


async def outputs_of(client: httpx.AsyncClient, node_id: str, key: str, item: Any) -> Outputs:
    """Return the outputs in one item of a report: files, a text or another value, or nothing."""
    files = list(files_in(item))
    if isinstance(item, str) and item and key in NAMES_FILES:
        kind, path = ("temp", item.removeprefix("temp/")) if item.startswith("temp/") else ("output", item)
        folder, _, name = path.rpartition("/")
        files = [{"filename": name, "subfolder": folder, "type": kind}]
    found: Outputs = Counter()
    for file in files:
        answer = (await client.get("/view", params=file)).raise_for_status()
        found[build_stored_output(node_id, PurePosixPath(file["filename"]).suffix, answer.content)] += 1
    if not files and item is not None:
        is_text = isinstance(item, str)
        found[
            build_stored_output(node_id, ".txt", item.encode())
            if is_text
            else build_stored_output(node_id, ".json", json.dumps(item).encode())
        ] += 1
    return found


async def history_of(client: httpx.AsyncClient, workflow: Workflow) -> dict[str, Any]:
    """Return the history entry of a successful prompt."""
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
    """Return the files in a class's report, as parameters of ``/view``."""
    if isinstance(reported, Mapping):
        if isinstance(reported.get("filename"), str):
            if reported.get("type") in {"output", "temp"}:
                yield {name: reported.get(name, "") for name in ("filename", "subfolder", "type")}
            return
        reported = list(reported.values())
    if isinstance(reported, list):
        for one in reported:
            yield from files_in(one)
