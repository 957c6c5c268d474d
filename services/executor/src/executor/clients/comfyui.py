"""A ComfyUI node over HTTP, 0.3.64 to 0.33. Everything it says is bounded in time and size, and read tolerantly.

No redirect is followed: a node that sends one would choose what this process asks for.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import quote

import aiohttp

from executor.clients.comfyui_answers import (
    FAILURES,
    HistoryEntry,
    NodeAway,
    Queued,
    UnusableAnswer,
    content_length_of,
    decode,
    decode_object,
    list_of,
    read_bounded,
    read_queued,
)
from executor.domain.harvest import Found
from executor.domain.named_files import FilePlace, written_ns
from executor.domain.node_log import prompts_since_death
from executor.domain.written_models import output_folders, written_models

CONNECT_S = 2.0  # a node is on the same machine or in the same rack
SMALL_CAP = 1 << 20  # bytes, of answers in which nobody else's data stands
STAGED_TYPE = "temp"  # uploads go where no class lists files, and where a restart of the node removes them
LOG_CAP = 8 << 20  # bytes, of 300 entries of a node's log, which somebody's node class may have written
MOST_FOLDERS = 200  # of models; a stock node has some 20
CHUNK = 256 << 10  # bytes; of an output on its way to the store
SLOWEST_BYTES_S = 64 << 10  # below this an output is not coming, it is dripping


class NoFile(Exception):
    """The node does not give out a file that it named."""


class NameRefused(NoFile):
    """The node gives out no file of such a name, whether it is there or not."""


class NoRoom(Exception):
    """The node takes no file of this size."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node said to a prompt: taken or not, and what it found wrong."""

    accepted: bool
    error: dict[str, Any]
    node_errors: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Viewed:
    """A file on its way: its size where the node said it, and its bytes."""

    size: int | None
    chunks: AsyncIterator[bytes]


class ComfyUI:
    """One node.

    Args:
        url: where its HTTP is.
        reply_s: how long a plain answer may take.
        post_s: how long taking a prompt may take.
        catalog_s: how long describing all classes may take.
        answer_max_bytes: the most that is read of one answer; files are not answers.
    """

    def __init__(
        self, url: str, *, reply_s: float, post_s: float, catalog_s: float, answer_max_bytes: int = 64 << 20
    ) -> None:
        self._reply_s, self._post_s, self._catalog_s = reply_s, post_s, catalog_s
        self._answer_max_bytes = answer_max_bytes
        self._url = url.rstrip("/")
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
            headers={"Accept-Encoding": "identity"},
            auto_decompress=False,
        )
        self._targeted = True

    async def close(self) -> None:
        """Close every connection."""
        await self._http.close()

    async def probe(self) -> None:
        """Return if the node answers.

        Raises:
            NodeAway: it does not. So do all that follow.
        """
        status, _ = await self._call("GET", "/prompt", within_s=self._reply_s, cap=SMALL_CAP)
        if status != 200:
            raise NodeAway(f"GET /prompt gave {status}")

    async def object_info(self) -> dict[str, Any]:
        """What every class takes and gives. Slow: the node looks through its model folders.

        Raises:
            UnusableAnswer: it cannot be read.
        """
        return (await self._get("/object_info", within_s=self._catalog_s))[0]

    async def written_models(self) -> frozenset[str]:
        """Names of models that lie in the node's output folder; none where the node cannot tell.

        Slow the first time: the node looks through its model folders.
        """
        listed = await self._get_if_there("/experiment/models")
        stats = await self._get_if_there("/system_stats")
        system = stats.get("system") if isinstance(stats, dict) else None
        folders = output_folders(listed, system.get("argv") if isinstance(system, dict) else None)
        files = {kind: await self._get_if_there(f"/experiment/models/{quote(kind, safe='')}") for kind in folders}
        return written_models(files, folders)

    async def post(
        self, graph: dict[str, Any], prompt_id: str, client_id: str, extra_data: dict[str, Any] | None = None
    ) -> Answer:
        """Hand in a prompt. A node takes the same id twice: whoever is unsure looks before asking again."""
        body: dict[str, Any] = {"prompt": graph, "prompt_id": prompt_id, "client_id": client_id}
        if extra_data:
            body["extra_data"] = extra_data
        try:
            status, text = await self._call("POST", "/prompt", body, within_s=self._post_s)
            if status == 413:
                return _refusal("The workflow is too large for the node.")
            if status not in {200, 400}:
                raise NodeAway(f"POST /prompt gave {status}")
            said = await decode_object(text, status)
        except UnusableAnswer as unusable:
            if unusable.status != 400:
                raise
            return _refusal("The node did not take the workflow, and its reasons cannot be read.")
        error, node_errors = said.get("error"), said.get("node_errors")
        if (status == 200) != (said.get("prompt_id") == prompt_id):
            raise NodeAway("POST /prompt gave something else")
        return Answer(
            accepted=status == 200,
            error=error if isinstance(error, dict) else {},
            node_errors=node_errors if isinstance(node_errors, dict) else {},
        )

    async def queue(self) -> list[Queued]:
        """What runs and what waits.

        Raises:
            UnusableAnswer: it cannot be read, such as where somebody else's prompts are huge.
        """
        said, _ = await self._get("/queue")
        return [
            read_queued(item, running=running)
            for key, running in (("queue_running", True), ("queue_pending", False))
            for item in list_of(said.get(key))
        ]

    async def history(self, prompt_id: str) -> HistoryEntry | None:
        """The entry of a prompt that ended, None for any other. What it holds is empty where it makes no sense.

        Raises:
            UnusableAnswer: the prompt ended, but its entry cannot be read.
        """
        said, size = await self._get(f"/history/{prompt_id}")
        if prompt_id not in said:
            return None
        entry = said[prompt_id]
        return HistoryEntry(entry if isinstance(entry, dict) else {}, size)

    async def forget(self, prompt_id: str) -> None:
        """Remove a prompt's history entry: a node keeps 10 000 of them, workflow and all."""
        await self._call("POST", "/history", {"delete": [prompt_id]}, within_s=self._reply_s, cap=SMALL_CAP)

    async def cancel(self, prompt_id: str) -> None:
        """Ask for the end of one prompt, running or waiting. May be lost: to be repeated until the end is seen."""
        if self._targeted:
            path = f"/api/jobs/{prompt_id}/cancel"
            status, _ = await self._call("POST", path, {}, within_s=self._reply_s, cap=SMALL_CAP)
            if status not in {404, 405}:
                return
            self._targeted = False
        await self._call("POST", "/queue", {"delete": [prompt_id]}, within_s=self._reply_s, cap=SMALL_CAP)
        await self._call("POST", "/interrupt", {"prompt_id": prompt_id}, within_s=self._reply_s, cap=SMALL_CAP)

    async def remove(self, raw_id: str) -> None:
        """Remove a foreign prompt, pending or running, by its id in the queue.

        May be lost: to be repeated until the prompt is gone.
        """
        await self._call("POST", "/queue", {"delete": [raw_id]}, within_s=self._reply_s, cap=SMALL_CAP)
        await self._call("POST", "/interrupt", {"prompt_id": raw_id}, within_s=self._reply_s, cap=SMALL_CAP)

    async def remove_all(self) -> None:
        """Remove every prompt that waits, and interrupt the one that runs. To be repeated like ``remove``."""
        await self._call("POST", "/queue", {"clear": True}, within_s=self._reply_s, cap=SMALL_CAP)
        await self._call("POST", "/interrupt", {}, within_s=self._reply_s, cap=SMALL_CAP)

    async def prompts_since_death(self) -> int | None:
        """How many prompts were posted since the node's worker thread died; None where its log tells of no death.

        A node may not show its log, as behind a proxy.
        """
        status, text = await self._call("GET", "/internal/logs/raw", within_s=self._reply_s, cap=LOG_CAP)
        return prompts_since_death(await decode(text)) if status == 200 else None

    async def models_digest(self) -> str | None:
        """A digest of the names of all model files that the node lists; None where it does not list them.

        Cheap: a node looks at the times of its model folders, and reads only those that changed.
        """
        async with self._in_time():
            folders = await self._get_if_there("/models")
            names = [one for one in folders if isinstance(one, str)] if isinstance(folders, list) else []
            digest = hashlib.sha256()
            for name in names[:MOST_FOLDERS]:
                path = f"/models/{quote(name, safe='')}"
                status, text = await self._call("GET", path, within_s=self._reply_s)
                digest.update(f"{name} {status} {len(text)} ".encode(errors="replace") + text)
        return digest.hexdigest() if names else None

    async def has_input(self, folder: str, name: str, size: int) -> bool:
        """Whether an input file is there in full, as far as its size tells."""
        query = {"filename": name, "subfolder": folder, "type": STAGED_TYPE}
        try:
            async with (
                asyncio.timeout(self._reply_s),
                self._http.get(
                    f"{self._url}/view", params=query, headers={"Range": "bytes=0-0"}, allow_redirects=False
                ) as response,
            ):
                return response.status == 206 and response.headers.get("content-range") == f"bytes 0-0/{size}"
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NodeAway(f"GET /view: {type(error).__name__}", heard=False) from error
        except FAILURES as error:
            raise NodeAway(f"GET /view: {type(error).__name__}") from error

    async def put_input(self, folder: str, name: str, content: IO[bytes], size: int) -> None:
        """Give the node a file, in place of any other of this name. It may be seen half written until this returns.

        Args:
            folder: in the temporary folder of the node.
            name: with an extension by which the node knows the type.
            content: read from where it stands; it is left open.
            size: of it, bytes.

        Raises:
            NoRoom: it is larger than the node takes.
            NoFile: the node does not take it.
        """
        form = aiohttp.FormData({"type": STAGED_TYPE, "subfolder": folder, "overwrite": "true"})
        form.add_field("image", _pieces(content), filename=name, content_type="application/octet-stream")
        within_s = self._post_s + size / SLOWEST_BYTES_S
        status, text = await self._call("POST", "/upload/image", form=form, within_s=within_s, cap=SMALL_CAP)
        if status == 413:
            raise NoRoom
        if status == 400:
            raise NoFile(f"POST /upload/image gave {status}")
        if status != 200 or (await decode_object(text)).get("name") != name:
            raise NodeAway(f"POST /upload/image gave {status} or another name")

    async def written_ns(self, place: FilePlace) -> int | None:
        """When a file was written by the node's clock, nanoseconds since the epoch; None where there is none.

        A node that does not tell the nanosecond tells the second before it.
        """
        query = {"filename": place.filename, "subfolder": place.subfolder, "type": place.folder}
        request: dict[str, Any] = {"params": query, "headers": {"Range": "bytes=0-0"}, "allow_redirects": False}
        try:
            async with asyncio.timeout(self._reply_s), self._http.get(f"{self._url}/view", **request) as response:
                is_there, headers = response.status in {200, 206, 416}, response.headers  # 416: it is empty
                response.close()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NodeAway(f"GET /view: {type(error).__name__}", heard=False) from error
        except FAILURES as error:
            raise NodeAway(f"GET /view: {type(error).__name__}") from error
        return written_ns(headers.get("etag"), headers.get("last-modified")) if is_there else None

    @asynccontextmanager
    async def view(self, found: Found) -> AsyncIterator[Viewed]:
        """Read a file that a prompt made.

        Raises:
            NameRefused: the node gives out nothing by this name.
            NoFile: the node does not give it out.
            NodeAway: the node is away, also raised by reading on when it goes away or ends too early.
        """
        query = {"filename": found.filename, "subfolder": found.subfolder, "type": found.folder}
        try:
            async with asyncio.timeout(self._post_s):
                response = await self._http.get(f"{self._url}/view", params=query, allow_redirects=False)
        except FAILURES as error:
            raise NodeAway(f"GET /view: {type(error).__name__}") from error
        try:
            if response.status in {400, 403}:
                raise NameRefused(f"GET /view gave {response.status}")
            if response.status != 200:
                raise NoFile(f"GET /view gave {response.status}")
            yield Viewed(
                content_length_of(response.headers.get("content-length", "")), _chunks(response, self._reply_s)
            )
        finally:
            response.close()

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """Requests that together may take no longer than a plain answer."""
        try:
            async with asyncio.timeout(self._reply_s):
                yield
        except TimeoutError as error:
            raise NodeAway("the node takes too long to list its models") from error

    async def _get(self, path: str, *, within_s: float | None = None) -> tuple[dict[str, Any], int]:
        """An answer, and its size in bytes."""
        status, text = await self._call("GET", path, within_s=within_s or self._reply_s)
        if status != 200:
            raise NodeAway(f"GET {path} gave {status}")
        return await decode_object(text), len(text)

    async def _get_if_there(self, path: str) -> Any:
        """The answer, or None where the node has no such route or cannot answer."""
        try:
            status, text = await self._call("GET", path, within_s=self._catalog_s)
            return await decode(text) if status == 200 else None
        except UnusableAnswer:
            return None

    async def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        form: aiohttp.FormData | None = None,
        within_s: float,
        cap: int | None = None,
    ) -> tuple[int, bytes]:
        request = {"json": body, "data": form, "allow_redirects": False}
        try:
            async with (
                asyncio.timeout(within_s),
                self._http.request(method, f"{self._url}{path}", **request) as response,
            ):
                return response.status, await read_bounded(response, cap or self._answer_max_bytes)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NodeAway(f"{method} {path}: {type(error).__name__}", heard=False) from error
        except FAILURES as error:
            raise NodeAway(f"{method} {path}: {type(error).__name__}") from error


async def _pieces(content: IO[bytes]) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(content.read, CHUNK):
        yield piece


async def _chunks(response: aiohttp.ClientResponse, patience_s: float) -> AsyncIterator[bytes]:
    """The bytes of a file; a chunk that comes slower than the slowest rate ends it."""
    stream = response.content.iter_chunked(CHUNK)
    while True:
        try:
            async with asyncio.timeout(patience_s + CHUNK / SLOWEST_BYTES_S):
                chunk = await anext(stream, None)
        except FAILURES as error:
            raise NodeAway(f"GET /view: {type(error).__name__}") from error
        if chunk is None:
            return
        yield chunk


def _refusal(message: str) -> Answer:
    return Answer(accepted=False, error={"message": message}, node_errors={})
