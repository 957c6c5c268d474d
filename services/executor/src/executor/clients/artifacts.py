"""Downloads input files and uploads outputs: one GET or PUT per granted URL."""

import asyncio
import hashlib
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

import aiohttp
from pydantic import ValidationError

from chassis.telemetry.logs import get_log_context
from contracts.gateway.transfers import StoredOutput

CONNECT_S = 5.0
CHUNK_BYTES = 1 << 20
IDLE_S = 30.0  # maximum gap between two chunks of a transfer
MAX_REPLY_BYTES = 64 << 10
MAX_MEMORY_BYTES = 8 << 20  # bytes of a download that are buffered in memory; a larger one is buffered in a file


class DownloadRefused(Exception):
    """The gateway refused the download.

    Attributes:
        status: HTTP status of the response.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"the gateway returned status {status}")
        self.status = status


class UploadRefused(Exception):
    """The gateway refused the upload.

    Attributes:
        status: HTTP status of the response.
        code: error code of the response, "" if it has none.
    """

    def __init__(self, status: int, code: str = "") -> None:
        super().__init__(f"the gateway returned status {status} {code}".rstrip())
        self.status, self.code = status, code


class StorageUnavailable(Exception):
    """The gateway did not respond, or did not store exactly what was sent."""


class DigestMismatch(Exception):
    """The downloaded bytes differ from the uploaded ones."""


class TooLarge(Exception):
    """The file exceeds the size limit."""


class ArtifactClient:
    """Downloads input files and uploads outputs through the URLs that the gateway granted.

    Args:
        folder: where a large input file is buffered while it is used; by default the system's temporary folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = str(folder) if folder is not None else None
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=IDLE_S)
        )

    async def close(self) -> None:
        await self._http.close()

    @asynccontextmanager
    async def download(self, url: str, *, size: int, sha256: str, within_s: float) -> AsyncIterator[IO[bytes]]:
        """Download an input file into a temporary file that exists until the block ends.

        Its bytes have exactly this SHA-256 (hex).

        Raises:
            DownloadRefused: the gateway refused.
            StorageUnavailable: the gateway did not send the complete file.
            DigestMismatch: the digest differs.
        """
        with tempfile.SpooledTemporaryFile(max_size=MAX_MEMORY_BYTES, dir=self._folder) as file:
            digest, left = hashlib.sha256(), size
            try:
                async with (
                    asyncio.timeout(within_s),
                    self._http.get(url, headers=_build_request_id_header()) as response,
                ):
                    if response.status != 200:
                        raise DownloadRefused(response.status)
                    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                        left -= len(chunk)
                        if left < 0:
                            raise DigestMismatch
                        await asyncio.to_thread(_write_chunk, file, digest, chunk)
            except (aiohttp.ClientError, TimeoutError) as error:
                raise StorageUnavailable(type(error).__name__) from error
            if digest.hexdigest() != sha256:
                raise DigestMismatch
            file.seek(0)
            yield file

    async def upload(
        self,
        url: str,
        chunks: AsyncIterator[bytes],
        *,
        size: int | None,
        content_type: str,
        max_bytes: int,
        within_s: float,
    ) -> StoredOutput:
        """Stream bytes to the gateway, one chunk in memory at a time. Idempotent.

        Args:
            size: total size in bytes, if known.
            max_bytes: size limit of the output.

        Returns:
            Size and SHA-256 of what the gateway stored, equal to what was sent.

        Raises:
            UploadRefused: the gateway refused.
            StorageUnavailable: it is unknown whether the bytes were stored.
            TooLarge: there are more than ``max_bytes`` bytes.
        """
        if size is not None and size > max_bytes:
            raise TooLarge
        checksum = _UploadChecksum(max_bytes)
        length = {} if size is None else {"Content-Length": str(size)}
        headers = {"Content-Type": content_type, **length, **_build_request_id_header()}
        # A full store refuses before it has read the body; the connection of a large one would break first.
        expects_continue = size is None or size > MAX_MEMORY_BYTES
        try:
            async with (
                asyncio.timeout(within_s),
                self._http.put(
                    url, data=checksum.track_chunks(chunks), headers=headers, expect100=expects_continue
                ) as response,
            ):
                reply = await response.content.read(MAX_REPLY_BYTES)
        except (aiohttp.ClientError, TimeoutError) as error:
            # aiohttp reports an exception of the source as a connection error.
            raise (checksum.failure or StorageUnavailable(type(error).__name__)) from error
        if not response.ok:
            raise UploadRefused(response.status, _parse_error_code(reply))
        try:
            stored = StoredOutput.model_validate_json(reply)
        except ValidationError as error:
            raise StorageUnavailable("the gateway's reply is malformed") from error
        if (stored.size_bytes, stored.sha256) != (checksum.size, checksum.digest.hexdigest()):
            raise StorageUnavailable("the gateway stored other bytes than were sent")
        return stored


def _parse_error_code(reply: bytes) -> str:
    try:
        return str(json.loads(reply)["code"])
    except (ValueError, KeyError, TypeError):
        return ""


def _write_chunk(file: IO[bytes], digest: "hashlib._Hash", chunk: bytes) -> None:
    digest.update(chunk)
    file.write(chunk)


class _UploadChecksum:
    """Size and SHA-256 of an upload while it is streamed, and the error that interrupted it."""

    def __init__(self, max_bytes: int) -> None:
        self.size, self.digest, self._max_bytes = 0, hashlib.sha256(), max_bytes
        self.failure: Exception | None = None

    async def track_chunks(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        try:
            async for chunk in chunks:
                self._track_chunk(chunk)
                yield chunk
        except Exception as error:
            self.failure = error
            raise

    def _track_chunk(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self.size > self._max_bytes:
            raise TooLarge
        self.digest.update(chunk)


def _build_request_id_header() -> dict[str, str]:
    """Return the header with the id of the request that submitted the job, so that the gateway logs it too."""
    request_id = get_log_context().get("request_id")
    return {"X-Request-Id": request_id} if request_id else {}
