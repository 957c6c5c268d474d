"""Measures how long one request can block the event loops of gateway and scheduler, in milliseconds.

    python -m tests.load.loop_stalls [--rounds 3] [--only WORD] [--filler-classes 2000]

Runs a system with one simulated node that has thousands of classes and long model lists. Each input is sent alone, by
HTTP or, if its name begins with "nats", over NATS. The services measure stalls themselves
(``chassis.telemetry.loop_monitor``, level DEBUG), from before the request until some time after its response, so the
work for an accepted job is included. A row shows for each service the longest stall in processor time of its process
and in wall time, each as the median of the rounds. Other load on the machine adds to wall time.
"""

import argparse
import asyncio
import json
import statistics
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import uuid4

import httpx
from nats.aio.client import Client
from nats.errors import Error as NatsError

from stack.ports import find_free_ports
from tests.kit.fleet import Fleet, running_fleet
from tests.kit.load_generator import running_module

TARGET_MS = 50
SETTLE_S = 0.7  # time for the work that an accepted job causes
SERVICES = ("gateway", "scheduler")
MIB = 1 << 20
ROOM = 8 * MIB - 4096  # bytes for values in a body of 8 MiB
LARGEST = 4 * MIB - 4096  # bytes for values in an accepted submission
PLENTY = 2**31 - 1
JOBS, BATCH, SAVED = "/jobs", "/jobs/batch", "/workflows/stalls"
SAVE = {"class_type": "SaveImage", "inputs": {"images": ["a", 0], "filename_prefix": "a"}}
EMPTY = {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}}
HELLO = {"a": EMPTY, "b": SAVE}


@dataclass(frozen=True)
class Input:
    """A request body and its route."""

    name: str
    body: Callable[[], bytes]
    path: str = JOBS
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=dict)


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def graph(nodes: dict[str, Any]) -> bytes:
    return compact({"workflow": nodes})


def fillers(count: int, inputs: Callable[[int], dict[str, Any]]) -> dict[str, Any]:
    """Return an accepted graph with this many nodes. Undeclared inputs are ignored."""
    nodes = {f"n{n}": {"class_type": f"Filler{n % 1000 + 1:04}", "inputs": inputs(n)} for n in range(count)}
    return {**nodes, **HELLO}


def unknown(count: int) -> dict[str, Any]:
    return {str(n): {"class_type": f"FillerSampler{n}", "inputs": {}} for n in range(count)}


def counted(count: int) -> dict[str, Any]:
    """Return a chain with previews of its end. A naive count of images would walk the whole chain for each preview."""
    chain = {f"c{n}": {"class_type": "ImageInvert", "inputs": {"image": [f"c{n - 1}" if n else "a", 0]}}
             for n in range(count)}  # fmt: skip
    ends = {f"p{n}": {"class_type": "PreviewImage", "inputs": {"images": [f"c{count - 1}", 0]}} for n in range(count)}
    return {"a": EMPTY, **chain, **ends}


def linked(count: int, links: int) -> dict[str, Any]:
    """Return a graph in which every node has links to many earlier ones."""
    return fillers(count, lambda n: {f"k{k}": [f"n{max(0, n - 1 - k)}" if n else "a", 0] for k in range(links)})


def cycle(count: int, name: str) -> dict[str, Any]:
    return {f"{name}{n}": {"class_type": "Filler0001", "inputs": {"text": [f"{name}{(n + 1) % count}", 0]}}
            for n in range(count)}  # fmt: skip


def texts(piece: str, size: int) -> dict[str, Any]:
    """Return texts of less than 1 MiB each, ``size`` bytes in total as JSON."""
    each = len(json.dumps(piece, ensure_ascii=False).encode()) - 2
    per_text = (min(MIB, size) - 1024) // max(each, len(piece.encode()))
    count = size // (per_text * each)
    return {"x": {"class_type": "Filler0001", "inputs": {f"t{n}": piece * per_text for n in range(count)}}, **HELLO}


def strings(count: int, size: int) -> dict[str, Any]:
    per_node = count // 1_990
    return fillers(1_990, lambda _: {f"k{k}": "x" * size for k in range(per_node)})


def batch(one: Any, count: int = 100) -> bytes:
    """Return this many copies. A body can have at most 100,000 values."""
    written = compact(one)
    return b'{"jobs":[' + b",".join([written] * count) + b"]}"


def keys(count: int) -> dict[str, int]:
    return {f"k{n}": 1 for n in range(count)}


def options(value: Callable[[int], str]) -> dict[str, Any]:
    """Return a graph in which every node has a value from a long list."""
    return {**{f"n{n}": {"class_type": f"Filler{n % 20 * 100 + 100:04}", "inputs": {"model": value(n)}}
               for n in range(1_990)}, **HELLO}  # fmt: skip


def ids(count: int) -> dict[str, str]:
    """Return texts in the format of upload ids."""
    return {f"k{n}": str(uuid4()) for n in range(count)}


def numbers(per_node: int, digits: int) -> bytes:
    written = graph(fillers(1_900, lambda _: dict.fromkeys(keys(per_node), 12321)))
    return written.replace(b"12321", b"9" * digits)


def missed(count: int) -> dict[str, Any]:
    return {f"n{n}": {"class_type": f"Filler{n % 20 * 100 + 100:04}", "inputs": {"model": f"none{n}"}}
            for n in range(count)}  # fmt: skip


def editor_node(number: Any, kind: str, values: list[Any] | None = None, **links: Any) -> dict[str, Any]:
    slots = [{"name": name, "type": "*", "link": link} for name, link in links.items()]
    return {"id": number, "type": kind, "inputs": slots, "outputs": [{"type": "*"}], "widgets_values": values or []}


def editor_file(nodes: list[Any], links: list[Any], subgraphs: list[Any] | None = None) -> bytes:
    """Return a file of ComfyUI's editor with an ordinary image besides."""
    image = [editor_node("a", "EmptyImage", [64, 64, 1, 0]), editor_node("b", "SaveImage", ["a"], images="ab")]
    return compact({"workflow": {
        "nodes": [*image, *nodes],
        "links": [["ab", "a", 0, "b", 0, "IMAGE"], *links],
        "definitions": {"subgraphs": subgraphs or []},
    }})  # fmt: skip


def repeated(times: int, text: str) -> bytes:
    """Return a file that uses a subgraph with a text many times."""
    inner = {"id": "sub-0", "nodes": [editor_node(1, "PrimitiveString", [text])], "links": []}
    return editor_file([editor_node(n, "sub-0") for n in range(times)], [], [inner])


def nested(depth: int, width: int) -> bytes:
    """Return a file of nested subgraphs, each of which passes its input on to several of the next level."""
    subgraphs = [
        {
            "id": f"sub-{level}",
            "inputs": [{"name": "a", "type": "*", "linkIds": list(range(width))}],
            "nodes": [editor_node(n, f"sub-{level + 1}" if level + 1 < depth else "Note", a=n) for n in range(width)],
            "links": [{"id": n, "origin_id": -10, "origin_slot": 0, "target_id": n, "target_slot": 0}
                      for n in range(width)],
        }
        for level in range(depth)
    ]  # fmt: skip
    return editor_file([editor_node(1, "sub-0")], [], subgraphs)


def rerouted(chain: int, ends: int) -> bytes:
    """Return a file with a long chain of reroutes and many images that are saved at its end."""
    nodes = [editor_node(n, "Reroute", x=n) for n in range(chain)]
    nodes += [editor_node(chain + n, "SaveImage", ["x"], images=chain + n) for n in range(ends)]
    links = [[n, n - 1 if n else "a", 0, n, 0, "*"] for n in range(chain)]
    return editor_file(nodes, [*links, *([chain + n, chain - 1, 0, chain + n, 0, "*"] for n in range(ends))])


def placeholders(count: int, size: int) -> bytes:
    """Return a file whose file name repeats a text."""
    text = {**editor_node(1, "PrimitiveString", ["x" * size]), "title": "T"}
    return editor_file([text, editor_node(2, "SaveImage", ["%T.value%" * count], images=1)], [[1, "a", 0, 2, 0, "*"]])


LAST = "collection/filler_model_04999.safetensors"
INPUTS = (
    Input("nothing", lambda: b"", "/jobs?limit=1", "GET"),
    Input("ordinary submit", lambda: graph(HELLO)),
    Input("2,000 unknown classes", lambda: graph(unknown(2_000))),
    Input("images counted by chains", lambda: graph(counted(990))),
    Input("batch of 6 x 2,000 unknown classes", lambda: batch({"workflow": unknown(2_000)}, 6), BATCH),
    Input("batch of 100 x 120 unknown classes", lambda: batch({"workflow": unknown(120)}), BATCH),
    Input("batch of 4 x chains of 990", lambda: batch({"workflow": counted(990)}, 4), BATCH),
    Input("batch of 100 x chains of 35", lambda: batch({"workflow": counted(35)}), BATCH),
    Input("batch of 100 prompts", lambda: batch({"prompt": "a", "model": "sim_xl.safetensors"}), BATCH),
    Input("batch of 100 x 80 kB", lambda: batch({"workflow": texts("x" * 1000, 80_000)}), BATCH),
    Input("batch of 100 x 85 nodes, key", lambda: batch({"workflow": fillers(85, lambda _: {"k": "x" * 40})}), BATCH,
          "POST", {"Idempotency-Key": "{fresh}"}),
    Input("batch of 100 x 480 unknown fields", lambda: batch({"prompt": "a", **keys(480)}), BATCH),
    Input("batch of 100 x 90 missed options", lambda: batch({"workflow": missed(90)}), BATCH),
    Input("values: 95,000 small", lambda: graph(strings(43_780, 1))),
    Input("values: 43,000 of 80 bytes", lambda: graph(strings(43_780, 80))),
    Input("values: 43,000 of 150 bytes", lambda: graph(strings(43_780, 150))),
    Input("text: 4 MiB plain", lambda: graph(texts("x", LARGEST))),
    Input("text: 4 MiB of backslashes", lambda: graph(texts("\\", LARGEST))),
    Input("text: 4 MiB of new lines", lambda: graph(texts("\n", LARGEST))),
    Input("text: 4 MiB of control signs", lambda: graph(texts("\x01", LARGEST))),
    Input("text: 4 MiB beyond ASCII", lambda: graph(texts("\u20ac", LARGEST))),
    Input("text: 8 MiB of backslashes", lambda: graph(texts("\\", ROOM))),
    Input("text: 8 MiB of new lines", lambda: graph(texts("\n", ROOM))),
    Input("text: 4,000 of 1,000 bytes", lambda: graph(strings(3_980, 1_000))),
    Input("keys: 1,990 of 1,000 bytes", lambda: graph(
        {**{"y" * 1_000 + str(n): {"class_type": "Filler0001", "inputs": {}} for n in range(1_990)}, **HELLO})),
    Input("links: 2,000 x 9", lambda: graph(linked(1_990, 9))),
    Input("links: 2,000 broken", lambda: graph(fillers(1_990, lambda n: {"text": [f"gone{n}", 0]}))),
    Input("links: 40,000 to missing outputs", lambda: graph(fillers(1_990, lambda _: {"text": ["a", 99]}))),
    Input("links: cycle of 2,000", lambda: graph(cycle(2_000, "n"))),
    Input("links: cycle of 2,000 long names", lambda: graph(cycle(2_000, "n" * 1_000))),
    Input("options: 1,990 chosen", lambda: graph(options(lambda _: LAST))),
    Input("options: 1,990 missed", lambda: graph(options(lambda n: f"none{n}"))),
    Input("uploads: 40,000 unknown ids", lambda: graph(fillers(1_990, lambda _: ids(20)))),
    Input("lists: 99,000 in one value", lambda: graph(fillers(1, lambda _: {"k": {"__value__": [1] * 99_000}}))),
    Input("numbers: 1,900 of 4,200 digits", lambda: numbers(1, 4_200)),
    Input("numbers: 76,000 of 90 digits", lambda: numbers(40, 90)),
    Input("numbers: one float of 8 MiB", lambda: b'{"workflow":{"a":0.' + b"1" * ROOM + b"}}"),
    Input("fields: 49,000 unknown", lambda: compact({"prompt": "a", **keys(49_000)})),
    Input("fields: 49,000 labels", lambda: compact({"prompt": "a", "labels": keys(49_000)})),
    Input("fields: a label of 1 MiB", lambda: compact({"prompt": "a", "labels": {"a": "x" * (MIB - 10)}})),
    Input("fields: 49,000 parameters", lambda: compact({"workflow_name": "stalls", "parameters": keys(49_000)})),
    Input("nodes: 90,000", lambda: compact({"workflow": dict.fromkeys(keys(90_000), None)})),
    Input("nodes: 2,000 malformed", lambda: compact({"workflow": dict.fromkeys(keys(1_990), 1)})),
    Input("invalid: 8 MiB of quotes", lambda: b'"' * ROOM),
    Input("invalid: 8 MiB of commas", lambda: b"[" + b"," * ROOM),
    Input("invalid: 8 MiB of brackets", lambda: b"[" * ROOM),
    Input("invalid: 8 MiB of escaped quotes", lambda: b'{"a":"' + b'\\"' * (ROOM // 2)),
    Input("invalid: 2.8 million empty texts", lambda: b"[" + b'"",' * (ROOM // 3) + b'""]'),
    Input("invalid: 8 MiB of spaces", lambda: b" " * ROOM),
    Input("invalid: last byte of 8 MiB", lambda: graph(strings(43_780, 150))[:-1]),
    Input("editor file: nested inputs", lambda: nested(16, 10)),
    Input("editor file: 1,900 times 4 kB", lambda: repeated(1_900, "x" * 4_000)),
    Input("editor file: 1,900 times 1 MB", lambda: repeated(1_900, "x" * 1_000_000)),
    Input("editor file: 50 x 1,900 reroutes", lambda: rerouted(50, 1_900)),
    Input("editor file: placeholders", lambda: placeholders(1_000, 1_000_000)),
    Input("save: 1 MiB of small values", lambda: compact({"workflow": strings(43_780, 1)}), SAVED, "PUT"),
    Input("save: 1 MiB of text", lambda: compact({"workflow": texts("x", MIB - 4096)}), SAVED, "PUT"),
    Input("saved: run it", lambda: compact({"workflow_name": "stalls"})),
    Input("list of 100 pending jobs", lambda: b"", "/jobs?limit=100&status=pending", "GET"),
    Input("classes, 100 of long lists", lambda: b"", "/nodes/classes?limit=100", "GET"),
    Input("models", lambda: b"", "/models", "GET"),
    Input("nats: 2,000 unknown classes", lambda: graph(unknown(2_000)), "jobs.submit"),
    Input("nats: values: 43,000 of 80 bytes", lambda: graph(strings(43_780, 80)), "jobs.submit"),
    Input("nats: 15 MiB", lambda: b" " * (15 * MIB), "jobs.submit"),
    Input("nats: 700,000 unknown fields", lambda: compact(keys(700_000)), "jobs.read"),
    Input("nats: 100,000 headers", lambda: b"", "jobs.submit", "", {f"h{n}": "x" for n in range(100_000)}),
    Input("nats: header of 8 MiB", lambda: b"", "jobs.submit", "", {"Request-Id": "x" * ROOM}),
)  # fmt: skip


class Stalls:
    """Reads event loop stalls from the logs of the services."""

    def __init__(self, fleet: Fleet) -> None:
        self._logs = {name: fleet.state / "logs" / f"{name}.log" for name in SERVICES}
        self._at = dict.fromkeys(SERVICES, 0)

    def read(self) -> dict[str, tuple[float, float]]:
        """Return the longest stalls since the last call by service, milliseconds: processor time and wall time."""
        found = {name: self._new(name, path) for name, path in self._logs.items()}
        return {
            name: (
                max((min(line["ms"], line["cpu_ms"]) for line in lines), default=0.0),
                max((line["ms"] for line in lines), default=0.0),
            )
            for name, lines in found.items()
        }

    def _new(self, name: str, path: Path) -> list[dict[str, Any]]:
        with path.open("rb") as log:
            log.seek(self._at[name])
            new = log.read()
            self._at[name] += len(new)
        return [json.loads(line) for line in new.splitlines() if b'"loop.blocked"' in line]


async def send(client: httpx.AsyncClient, nats_client: Client, one: Input, body: bytes) -> str:
    """Return a summary of the response."""
    if one.path.startswith("jobs."):
        try:
            reply = await nats_client.request(one.path, body, headers=one.headers or None, timeout=30)
        except (NatsError, TimeoutError) as error:
            return type(error).__name__
        return (reply.headers or {}).get("Nats-Service-Error-Code", "200")
    headers = {name: value.replace("{fresh}", str(uuid4())) for name, value in one.headers.items()}
    answer = await client.request(
        one.method, one.path, content=body, headers={"Content-Type": "application/json", **headers}
    )
    if one.path != BATCH or not answer.is_success:
        return str(answer.status_code)
    statuses = [item["status"] for item in answer.json()["jobs"]]
    return ",".join(f"{status} x {statuses.count(status)}" for status in sorted(set(statuses)))


@asynccontextmanager
async def measured(fillers_: int) -> AsyncIterator[tuple[Fleet, httpx.AsyncClient, Client]]:
    """Run a system with one large node; yields a client of a user without limits and a NATS connection."""
    (port,) = find_free_ports(1)
    node = f"http://127.0.0.1:{port}"
    argv = ("--port", str(port), "--filler-classes", str(fillers_))
    async with (
        running_module(node, "simnode", *argv),
        running_fleet("--comfyui", node, "--log-level", "DEBUG") as fleet,
        fleet.client() as client,
    ):
        limits = {"images_per_day": PLENTY, "max_running": 5, "queue_cap": PLENTY, "requests_per_minute": 1_000_000}
        async with fleet.client(fleet.credentials["admin_key"]) as admin:
            user = f"/admin/users/{fleet.credentials['demo_user_id']}"
            (await admin.patch(user, json={"limits": limits})).raise_for_status()
        await fleet.wait_until_ended(client, (await fleet.submit(client, workflow=HELLO))["job_id"])
        nats_client, _ = await fleet.connect_external_system()
        client.timeout = httpx.Timeout(60)
        yield fleet, client, nats_client
        await nats_client.close()


async def measure(arguments: argparse.Namespace) -> None:
    """Send each input several times and print the stalls."""
    async with measured(arguments.filler_classes) as (fleet, client, nats_client):
        stalls, over = Stalls(fleet), []
        print(f"{'input':36} {'KiB':>6} {'answer':>18} {'s':>6}   gateway ms      scheduler ms   (own, by the clock)")
        for one in INPUTS:
            if arguments.only not in one.name:
                continue
            body, found, took, said = one.body(), [], 0.0, ""
            for _ in range(arguments.rounds):
                await asyncio.sleep(0.1)
                stalls.read()
                begun = perf_counter()
                said = await send(client, nats_client, one, body)
                took = perf_counter() - begun
                await asyncio.sleep(SETTLE_S)
                found.append(stalls.read())
            own, clock = ({name: statistics.median(one[name][kind] for one in found) for name in SERVICES}
                          for kind in (0, 1))  # fmt: skip
            shown = "  ".join(f"{own[name]:6.1f} {clock[name]:7.1f}" for name in SERVICES)
            print(f"{one.name:36} {len(body) >> 10:6} {said:>18} {took:6.2f}  {shown}", flush=True)
            if max(own.values()) > TARGET_MS:
                over.append(one.name)
        print(f"target: at most {TARGET_MS} ms; above it: {', '.join(over) or 'none'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="inputs whose name holds this")
    parser.add_argument("--filler-classes", type=int, default=2_000)
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
