"""HTTP client of a ComfyUI node, 0.3.64 to 0.33. Responses are bounded in time and size and parsed tolerantly.

Redirects are not followed: otherwise a node could choose what this process requests.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import quote

import aiohttp

from executor.clients.comfyui_responses import (
    TRANSPORT_ERRORS,
    HistoryEntry,
    NodeUnavailable,
    QueuedPrompt,
    UnreadableResponse,
    list_or_empty,
    parse_content_length,
    parse_json,
    parse_json_object,
    parse_queue_item,
    read_body,
)
from executor.domain.collect_outputs import FoundOutput
from executor.domain.named_files import ModifiedTime, NodeFilePath, parse_modified_time
from executor.domain.node_log import count_prompts_since_worker_death
from executor.domain.written_models import find_output_folders, find_written_models

CONNECT_S = 2.0  # seconds; a node is on the same machine or in the same rack
SMALL_RESPONSE_BYTES = 1 << 20  # bytes, for responses that contain no tenant data
STAGED_TYPE = "temp"  # no class lists files there, and a restart of the node deletes them
MAX_LOG_BYTES = 8 << 20  # bytes, for 300 log entries that any node class may have written
MAX_MODEL_FOLDERS = 200  # kinds of models; a stock node has some 20
FIRST_SERVER_ERROR = 500
CHUNK_BYTES = 256 << 10  # bytes, chunk of an output
MIN_BYTES_PER_S = 64 << 10  # bytes per second, minimum transfer rate


class FileUnavailable(Exception):
    """The node does not return a file that it reported."""


class FileNameRefused(FileUnavailable):
    """The node refuses to return files with such a name."""


class FileReplaced(FileUnavailable):
    """The node returns another file of this name than the prompt wrote."""


class FileTooLarge(Exception):
    """The file exceeds the node's limit for uploads."""


@dataclass(frozen=True, slots=True)
class PromptReply:
    """The node's reply to a prompt: accepted or not, and its validation errors."""

    accepted: bool
    error: dict[str, Any]
    node_errors: dict[str, Any]


@dataclass(frozen=True, slots=True)
class FileDownload:
    """A file being downloaded: its size if known, and its bytes."""

    size: int | None
    chunks: AsyncIterator[bytes]


class ComfyUIClient:
    """Client of one node.

    Args:
        url: base URL of the node.
        reply_s: timeout of a plain request, seconds.
        post_s: timeout of posting a prompt, seconds.
        catalog_s: timeout of reading all classes, seconds.
        answer_max_bytes: maximum size of a response that is not a file.
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
        self._has_cancel_route = True

    async def close(self) -> None:
        await self._http.close()

    async def probe(self) -> None:
        """Return if the node answers.

        Raises:
            NodeUnavailable: the node does not answer. The other methods raise it too.
        """
        status, _ = await self._send_request("GET", "/prompt", within_s=self._reply_s, max_bytes=SMALL_RESPONSE_BYTES)
        if status != 200:
            raise NodeUnavailable(f"GET /prompt returned status {status}")

    async def read_object_info(self) -> dict[str, Any]:
        """Return the declarations of all classes. Slow: the node scans its model folders.

        Raises:
            UnreadableResponse: the response cannot be parsed.
        """
        return (await self._get_json("/object_info", within_s=self._catalog_s))[0]

    async def list_written_models(self) -> frozenset[str]:
        """Return the names of models in the node's output folder; empty if the node does not report them.

        The first call is slow: the node scans its model folders.
        """
        listed = await self._get_optional_json("/experiment/models")
        stats = await self.read_system_stats()
        system = stats.get("system") if isinstance(stats, dict) else None
        folders = find_output_folders(listed, system.get("argv") if isinstance(system, dict) else None)
        files = {kind: await self._get_optional_json(f"/experiment/models/{_quote_folder(kind)}") for kind in folders}
        return find_written_models(files, folders)

    async def read_system_stats(self) -> Any:
        """Return the node's versions and devices; None if the node does not report them."""
        return await self._get_optional_json("/system_stats", max_bytes=SMALL_RESPONSE_BYTES)

    async def post_prompt(
        self, graph: dict[str, Any], prompt_id: str, client_id: str, extra_data: dict[str, Any] | None = None
    ) -> PromptReply:
        """Post a prompt. A node accepts the same id twice, so look for the prompt before posting it again."""
        prompt_body: dict[str, Any] = {"prompt": graph, "prompt_id": prompt_id, "client_id": client_id}
        if extra_data:
            prompt_body["extra_data"] = extra_data
        try:
            status, response = await self._send_request("POST", "/prompt", prompt_body, within_s=self._post_s)
            if status == 413:
                return _build_rejected_reply("The workflow is too large for the node.")
            if status not in {200, 400}:
                raise NodeUnavailable(f"POST /prompt returned status {status}")
            reply = await parse_json_object(response, status)
        except UnreadableResponse as unreadable:
            if unreadable.status != 400:
                raise
            return _build_rejected_reply("The node rejected the workflow, but its error response cannot be parsed.")
        error, node_errors = reply.get("error"), reply.get("node_errors")
        if (status == 200) != (reply.get("prompt_id") == prompt_id):
            raise NodeUnavailable("POST /prompt returned an inconsistent response")
        return PromptReply(
            accepted=status == 200,
            error=error if isinstance(error, dict) else {},
            node_errors=node_errors if isinstance(node_errors, dict) else {},
        )

    async def read_queue(self) -> list[QueuedPrompt]:
        """Return the running and pending prompts.

        Raises:
            UnreadableResponse: the response cannot be parsed, for example because foreign prompts are huge.
        """
        body, _ = await self._get_json("/queue")
        return [
            parse_queue_item(item, running=running)
            for key, running in (("queue_running", True), ("queue_pending", False))
            for item in list_or_empty(body.get(key))
        ]

    async def read_history(self, prompt_id: str) -> HistoryEntry | None:
        """Return the entry of a finished prompt, None for any other. Malformed parts of it are empty.

        Raises:
            UnreadableResponse: the prompt finished but its entry cannot be parsed.
        """
        body, size = await self._get_json(f"/history/{prompt_id}")
        if prompt_id not in body:
            return None
        entry = body[prompt_id]
        return HistoryEntry(entry if isinstance(entry, dict) else {}, size)

    async def delete_history(self, prompt_id: str) -> None:
        """Delete a prompt's history entry. A node keeps 10,000 of them, including their workflows."""
        await self._send_request(
            "POST", "/history", {"delete": [prompt_id]}, within_s=self._reply_s, max_bytes=SMALL_RESPONSE_BYTES
        )

    async def cancel_prompt(self, prompt_id: str) -> None:
        """Request the end of a running or pending prompt. Repeat it until the prompt is gone: requests may get lost."""
        if self._has_cancel_route:
            path = f"/api/jobs/{prompt_id}/cancel"
            status, _ = await self._send_request(
                "POST", path, {}, within_s=self._reply_s, max_bytes=SMALL_RESPONSE_BYTES
            )
            if status not in {404, 405}:
                return
            self._has_cancel_route = False
        await self._send_request(
            "POST", "/queue", {"delete": [prompt_id]}, within_s=self._reply_s, max_bytes=SMALL_RESPONSE_BYTES
        )
        await self._send_request(
            "POST", "/interrupt", {"prompt_id": prompt_id}, within_s=self._reply_s, max_bytes=SMALL_RESPONSE_BYTES
        )

    async def free_memory(self) -> None:
        """Request that the node unload its models and clear its cache. Returns before the worker has done so.

        A worker that is finishing a prompt may miss the request until after the next prompt: repeat it.
        """
        body = {"unload_models": True, "free_memory": True}
        await self._send_request("POST", "/free", body, within_s=self._reply_s, max_bytes=SMALL_RESPONSE_BYTES)

    async def remove_prompt(self, raw_id: str) -> None:
        """Remove a foreign prompt, pending or running, by its id in the queue.

        Repeat it until the prompt is gone: requests may get lost.
        """
        await self._send_request(
            "POST", "/queue", {"delete": [raw_id]}, within_s=self._reply_s, max_bytes=SMALL_RESPONSE_BYTES
        )
        await self._send_request(
            "POST", "/interrupt", {"prompt_id": raw_id}, within_s=self._reply_s, max_bytes=SMALL_RESPONSE_BYTES
        )

    async def remove_all_prompts(self) -> None:
        """Remove every pending prompt and interrupt the running one. Repeat it like ``remove_prompt``."""
        await self._send_request(
            "POST", "/queue", {"clear": True}, within_s=self._reply_s, max_bytes=SMALL_RESPONSE_BYTES
        )
        await self._send_request("POST", "/interrupt", {}, within_s=self._reply_s, max_bytes=SMALL_RESPONSE_BYTES)

    async def count_prompts_since_worker_death(self) -> int | None:
        """Return how many prompts were posted since the node's worker thread died; None when its log shows no death.

        A node behind a proxy may not expose its log.
        """
        status, body = await self._send_request(
            "GET", "/internal/logs/raw", within_s=self._reply_s, max_bytes=MAX_LOG_BYTES
        )
        return count_prompts_since_worker_death(await parse_json(body)) if status == 200 else None

    async def compute_models_digest(self) -> str | None:
        """Return a digest of the names of all model files that the node lists; None when it does not list them.

        Cheap: a node checks the modification times of its model folders and rereads only changed ones.
        """
        async with self._limit_to_reply_timeout():
            folders = await self._get_optional_json("/models")
            names = [folder for folder in folders if isinstance(folder, str)] if isinstance(folders, list) else []
            digest = hashlib.sha256()
            for name in names[:MAX_MODEL_FOLDERS]:
                path = f"/models/{_quote_folder(name)}"
                status, body = await self._send_request("GET", path, within_s=self._reply_s)
                digest.update(f"{name} {status} {len(body)} ".encode(errors="replace") + body)
        return digest.hexdigest() if names else None

    async def has_input_file(self, folder: str, name: str, size: int) -> bool:
        """Whether an input file exists with the expected size."""
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
            raise NodeUnavailable(f"GET /view: {type(error).__name__}", may_have_arrived=False) from error
        except TRANSPORT_ERRORS as error:
            raise NodeUnavailable(f"GET /view: {type(error).__name__}") from error

    async def upload_input_file(self, folder: str, name: str, content: IO[bytes], size: int) -> None:
        """Upload a file to the node, replacing any other of this name. It may be visible incomplete until this returns.

        Args:
            folder: subfolder of the node's temporary folder.
            name: file name with the extension of its type.
            content: read from its current position and left open.
            size: bytes.

        Raises:
            FileTooLarge: the file exceeds the node's limit.
            FileUnavailable: the node refuses it.
        """
        form = aiohttp.FormData({"type": STAGED_TYPE, "subfolder": folder, "overwrite": "true"})
        form.add_field("image", _read_chunks(content), filename=name, content_type="application/octet-stream")
        within_s = self._post_s + size / MIN_BYTES_PER_S
        status, body = await self._send_request(
            "POST", "/upload/image", form=form, within_s=within_s, max_bytes=SMALL_RESPONSE_BYTES
        )
        if status == 413:
            raise FileTooLarge
        if status == 400:
            raise FileUnavailable(f"POST /upload/image returned status {status}")
        if status != 200 or (await parse_json_object(body)).get("name") != name:
            raise NodeUnavailable(f"POST /upload/image returned status {status} or another file name")

    async def read_modified_time(self, path: NodeFilePath) -> ModifiedTime | None:
        """Return when a file was modified by the node's clock; None if there is no such file."""
        query = {"filename": path.filename, "subfolder": path.subfolder, "type": path.folder}
        request: dict[str, Any] = {"params": query, "headers": {"Range": "bytes=0-0"}, "allow_redirects": False}
        try:
            async with asyncio.timeout(self._reply_s), self._http.get(f"{self._url}/view", **request) as response:
                exists = response.status in {200, 206, 416}  # 416: the file is empty
                response.close()
                if response.status >= FIRST_SERVER_ERROR:
                    raise NodeUnavailable(f"GET /view returned status {response.status}")
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NodeUnavailable(f"GET /view: {type(error).__name__}", may_have_arrived=False) from error
        except TRANSPORT_ERRORS as error:
            raise NodeUnavailable(f"GET /view: {type(error).__name__}") from error
        return _parse_modified_time(response) if exists else None

    @asynccontextmanager
    async def download_file(self, found: FoundOutput) -> AsyncIterator[FileDownload]:
        """Download a file that a prompt produced.

        Raises:
            FileNameRefused: the node returns no file of this name.
            FileReplaced: the file was modified since ``found.modified``; a later prompt may have done so.
            FileUnavailable: the node does not return it.
            NodeUnavailable: the node is unreachable. Iterating over the chunks raises it too.
        """
        query = {"filename": found.filename, "subfolder": found.subfolder, "type": found.folder}
        try:
            async with asyncio.timeout(self._post_s):
                response = await self._http.get(f"{self._url}/view", params=query, allow_redirects=False)
        except TRANSPORT_ERRORS as error:
            raise NodeUnavailable(f"GET /view: {type(error).__name__}") from error
        try:
            if response.status in {400, 403}:
                raise FileNameRefused(f"GET /view returned status {response.status}")
            if response.status != 200:
                raise FileUnavailable(f"GET /view returned status {response.status}")
            if found.modified is not None and found.modified != _parse_modified_time(response):
                raise FileReplaced("GET /view returned a file with another modification time")
            yield FileDownload(
                parse_content_length(response.headers.get("content-length", "")),
                _iterate_response_chunks(response, self._reply_s),
            )
        finally:
            response.close()

    @asynccontextmanager
    async def _limit_to_reply_timeout(self) -> AsyncIterator[None]:
        """Limit several requests together to the timeout of one."""
        try:
            async with asyncio.timeout(self._reply_s):
                yield
        except TimeoutError as error:
            raise NodeUnavailable("the node takes too long to list its models") from error

    async def _get_json(self, path: str, *, within_s: float | None = None) -> tuple[dict[str, Any], int]:
        """Return the decoded response and its size in bytes."""
        status, body = await self._send_request("GET", path, within_s=within_s or self._reply_s)
        if status != 200:
            raise NodeUnavailable(f"GET {path} returned status {status}")
        return await parse_json_object(body), len(body)

    async def _get_optional_json(self, path: str, *, max_bytes: int | None = None) -> Any:
        """Return the response, or None when the node has no such route or cannot answer."""
        try:
            status, body = await self._send_request("GET", path, within_s=self._catalog_s, max_bytes=max_bytes)
            return await parse_json(body) if status == 200 else None
        except UnreadableResponse:
            return None

    async def _send_request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        form: aiohttp.FormData | None = None,
        within_s: float,
        max_bytes: int | None = None,
    ) -> tuple[int, bytes]:
        request = {"json": body, "data": form, "allow_redirects": False}
        try:
            async with (
                asyncio.timeout(within_s),
                self._http.request(method, f"{self._url}{path}", **request) as response,
            ):
                return response.status, await read_body(response, max_bytes or self._answer_max_bytes)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NodeUnavailable(f"{method} {path}: {type(error).__name__}", may_have_arrived=False) from error
        except TRANSPORT_ERRORS as error:
            raise NodeUnavailable(f"{method} {path}: {type(error).__name__}") from error


def _parse_modified_time(response: aiohttp.ClientResponse) -> ModifiedTime | None:
    return parse_modified_time(response.headers.get("etag"), response.headers.get("last-modified"))


def _quote_folder(name: str) -> str:
    """Return a folder's name as a path segment. Bytes that are not UTF-8 are replaced; the node then responds 404."""
    return quote(name, safe="", errors="replace")


async def _read_chunks(content: IO[bytes]) -> AsyncIterator[bytes]:
    while chunk := await asyncio.to_thread(content.read, CHUNK_BYTES):
        yield chunk


async def _iterate_response_chunks(response: aiohttp.ClientResponse, timeout_s: float) -> AsyncIterator[bytes]:
    """Yield the bytes of a file; a transfer below the minimum rate is aborted."""
    stream = response.content.iter_chunked(CHUNK_BYTES)
    while True:
        try:
            async with asyncio.timeout(timeout_s + CHUNK_BYTES / MIN_BYTES_PER_S):
                chunk = await anext(stream, None)
        except TRANSPORT_ERRORS as error:
            raise NodeUnavailable(f"GET /view: {type(error).__name__}") from error
        if chunk is None:
            return
        yield chunk


def _build_rejected_reply(message: str) -> PromptReply:
    return PromptReply(accepted=False, error={"message": message}, node_errors={})
