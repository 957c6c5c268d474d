"""A client of a simulated node: HTTP, WebSockets, and waits with a timeout."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from simnode.node import SimNode
from simnode.settings import Settings

DEADLINE_S = 10.0
WORKFLOWS = Path(__file__).parents[2] / "workflows"

Json = dict[str, Any]


def workflow(name: str) -> Json:
    loaded: Json = json.loads((WORKFLOWS / f"{name}.json").read_text())
    return loaded


def node(class_type: str, **inputs: Any) -> Json:
    return {"class_type": class_type, "inputs": inputs}


def picture(color: int = 1, size: int = 16, batch: int = 1) -> Json:
    return node("EmptyImage", width=size, height=size, batch_size=batch, color=color)


def saved(color: int = 1, prefix: str = "t/x") -> Json:
    return {"1": picture(color), "2": node("SaveImage", images=["1", 0], filename_prefix=prefix)}


def slept(seconds: float, color: int = 1) -> Json:
    return {
        "1": picture(color),
        "2": node("SimSleep", image=["1", 0], seconds=seconds),
        "3": node("SaveImage", images=["2", 0], filename_prefix="slept"),
    }


def failing(exception_type: str = "RuntimeError") -> Json:
    return {
        "1": picture(),
        "2": node("SimFail", image=["1", 0], message="no", exception_type=exception_type),
        "3": node("SaveImage", images=["2", 0], filename_prefix="fail"),
    }


def sampled(seed: int = 1, steps: int = 4, size: int = 64) -> Json:
    return {
        "1": node("CheckpointLoaderSimple", ckpt_name="sim_xl.safetensors"),
        "2": node("CLIPTextEncode", text="a red fox", clip=["1", 1]),
        "3": node("EmptyLatentImage", width=size, height=size, batch_size=1),
        "4": node(
            "KSampler",
            model=["1", 0],
            seed=seed,
            steps=steps,
            cfg=7.0,
            sampler_name="euler",
            scheduler="normal",
            positive=["2", 0],
            negative=["2", 0],
            latent_image=["3", 0],
            denoise=1.0,
        ),
        "5": node("VAEDecode", samples=["4", 0], vae=["1", 2]),
        "6": node("SaveImage", images=["5", 0], filename_prefix="sampled"),
    }


def create_prompt_id() -> str:
    return str(uuid.uuid4())


async def until(fact: Callable[[], Awaitable[Any]]) -> Any:
    """Poll until the result is truthy and return it; fails after the timeout."""
    async with asyncio.timeout(DEADLINE_S):
        while not (answer := await fact()):  # noqa: ASYNC110 - facts behind HTTP have no event to wait on
            await asyncio.sleep(0.005)
    return answer


class Stream:
    """One WebSocket. ``seen`` has everything received: JSON as dicts and frames as bytes."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.seen: list[Any] = []

    async def next(self) -> Any:
        message = await asyncio.wait_for(self.socket.receive(), DEADLINE_S)
        if message.type is aiohttp.WSMsgType.TEXT:
            self.seen.append(json.loads(message.data))
        elif message.type is aiohttp.WSMsgType.BINARY:
            self.seen.append(message.data)
        else:
            raise ConnectionError(f"socket over: {message.type}")
        return self.seen[-1]

    async def until(self, kind: str, **data: Any) -> Json:
        """Read until an event of this type whose data has these values."""
        while True:
            message = await self.next()
            if isinstance(message, dict) and message["type"] == kind and data.items() <= message["data"].items():
                return message

    async def wait_until_ended(self, prompt_id: str) -> None:
        await self.until("executing", node=None, prompt_id=prompt_id)

    def list_events(self) -> list[str]:
        """Return the events since connecting in short form: ``status 1``, ``executing 3``, ``bin 1``."""
        return [_short(message) for message in self.seen[1:]]


def _short(message: Any) -> str:
    if isinstance(message, bytes):
        return f"bin {message[3]}"
    kind, data = message["type"], message["data"]
    if kind == "status":
        return f"status {data['status']['exec_info']['queue_remaining']}"
    if kind == "progress_state":
        last = list(data["nodes"].values())[-1]
        return f"progress_state {last['state']} {last['node_id']}"
    if kind in {"executing", "executed", "progress"}:
        return f"{kind} {data['node']}"
    return str(kind)


class Driver:
    """A client of one node."""

    def __init__(self, node: SimNode, http: aiohttp.ClientSession) -> None:
        self.node = node
        self.http = http

    async def request(self, method: str, path: str, **kwargs: Any) -> tuple[int, Any]:
        async with self.http.request(method, self.node.url + path, **kwargs) as response:
            body = await response.read()
            is_json = response.content_type == "application/json"
            return response.status, json.loads(body) if is_json else body

    async def get(self, path: str, **kwargs: Any) -> Any:
        status, body = await self.request("GET", path, **kwargs)
        assert status == 200, (status, body)
        return body

    async def post(self, prompt: Any, **fields: Any) -> tuple[int, Any]:
        return await self.request("POST", "/prompt", json={"prompt": prompt, **fields})

    async def submit(self, prompt: Any, **fields: Any) -> str:
        status, body = await self.post(prompt, **fields)
        assert status == 200, (status, body)
        assert isinstance(body["prompt_id"], str)
        return body["prompt_id"]

    async def wait_for_history_entry(self, prompt_id: str) -> Json:
        """Wait for the history entry and return it."""

        async def look() -> Any:
            return (await self.get(f"/history/{prompt_id}")).get(prompt_id)

        found: Json = await until(look)
        return found

    async def run(self, prompt: Any, **fields: Any) -> Json:
        return await self.wait_for_history_entry(await self.submit(prompt, **fields))

    async def wait_until_running(self, prompt_id: str) -> None:
        """Wait until this prompt is running."""

        async def look() -> bool:
            return any(item[1] == prompt_id for item in (await self.get("/queue"))["queue_running"])

        await until(look)

    async def arm_fault(self, name: str, **params: Any) -> None:
        status, body = await self.request("POST", "/simnode/faults", json={"name": name, **params})
        assert status == 200, body

    async def clear_faults(self) -> None:
        await self.request("DELETE", "/simnode/faults")

    async def count_fault_occurrences(self, name: str) -> int:
        rows = (await self.get("/simnode/faults"))["faults"]
        return sum(row["fired"] for row in rows if row["name"] == name)

    async def ledger(self) -> Json:
        body: Json = await self.get("/simnode/ledger")
        return body

    @asynccontextmanager
    async def socket(self, client_id: str, **flags: Any) -> AsyncIterator[Stream]:
        url = f"{self.node.url}/ws"
        async with self.http.ws_connect(url, params={"clientId": client_id}, max_msg_size=0) as socket:
            stream = Stream(socket)
            await stream.next()
            if flags:
                await socket.send_json({"type": "feature_flags", "data": flags})
                await stream.until("feature_flags")
                stream.seen = stream.seen[:1]
            yield stream


@asynccontextmanager
async def running_driver(directory: Path, **settings: Any) -> AsyncIterator[Driver]:
    """Run a node and a client of it."""
    settings = {"step_s": 0.0, **settings}
    async with SimNode(Settings(directory=directory, **settings)) as node, aiohttp.ClientSession() as http:
        yield Driver(node, http)
