"""The store of uploads and outputs: one GET or PUT of a granted URL."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

import aiohttp
from pydantic import ValidationError

from contracts.gateway.transfers import StoredOutput

CONNECT_S = 5.0
CHUNK = 1 << 20  # bytes of an upload
IDLE_S = 30.0  # between two signs of life of a transfer
REPLY_CAP = 64 << 10  # bytes
IN_MEMORY = 8 << 20  # bytes of an upload; a larger one is a file meanwhile


class GetRefused(Exception):
    """The store answered, but did not give the bytes.

    Attributes:
        status: HTTP status of its answer.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"the store gave {status}")
        self.status = status


class PutRefused(Exception):
    """The store answered, but did not take the bytes.

    Attributes:
        status: HTTP status of its answer.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"the store gave {status}")
        self.status = status


class StoreAway(Exception):
    """The store did not answer, or holds something else than what was sent."""


class Damaged(Exception):
    """The store gave other bytes than were uploaded."""


class TooLarge(Exception):
    """There are more bytes than may be sent."""


class Artifacts:
    """Fetches uploads and stores outputs by granted URLs.

    Args:
        folder: where large uploads lie while they are moved; the system's temporary folder where there is none.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = str(folder) if folder is not None else None
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=IDLE_S)
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._http.close()

    @asynccontextmanager
    async def get(self, url: str, *, size: int, sha256: str, within_s: float) -> AsyncIterator[IO[bytes]]:
        """The bytes of an upload, as a file that is there until the block ends: exactly those with this SHA-256, hex.

        Raises:
            GetRefused: it does not give them.
            StoreAway: it does not answer, or not to the end.
            Damaged: they are others.
        """
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY, dir=self._folder) as file:
            digest, left = hashlib.sha256(), size
            try:
                async with asyncio.timeout(within_s), self._http.get(url) as response:
                    if response.status != 200:
                        raise GetRefused(response.status)
                    async for chunk in response.content.iter_chunked(CHUNK):
                        left -= len(chunk)
                        if left < 0:
                            raise Damaged
                        await asyncio.to_thread(_write, file, digest, chunk)
            except (aiohttp.ClientError, TimeoutError) as error:
                raise StoreAway(type(error).__name__) from error
            if digest.hexdigest() != sha256:
                raise Damaged
            file.seek(0)
            yield file

    async def put(
        self, url: str, chunks: AsyncIterator[bytes], *, size: int | None, content_type: str, cap: int, within_s: float
    ) -> StoredOutput:
        """Store bytes as they come, never holding more than a chunk. Storing the same again changes nothing.

        Args:
            size: of all chunks together, where it is known before.
            cap: no more bytes than this are sent.

        Returns:
            What the store holds now: exactly the bytes that were sent, by their number and their SHA-256.

        Raises:
            PutRefused: it does not take them.
            StoreAway: nobody knows whether it has them.
            TooLarge: there are more than ``cap``.
        """
        if size is not None and size > cap:
            raise TooLarge
        tally = _Tally(cap)
        headers = {"Content-Type": content_type} | ({} if size is None else {"Content-Length": str(size)})
        try:
            async with (
                asyncio.timeout(within_s),
                self._http.put(url, data=tally.passing(chunks), headers=headers) as response,
            ):
                said = await response.content.read(REPLY_CAP)
        except (aiohttp.ClientError, TimeoutError) as error:
            # aiohttp tells a failed source as a failed connection.
            raise (tally.failure or StoreAway(type(error).__name__)) from error
        if not response.ok:
            raise PutRefused(response.status)
        try:
            stored = StoredOutput.model_validate_json(said)
        except ValidationError as error:
            raise StoreAway("its answer makes no sense") from error
        if (stored.size_bytes, stored.sha256) != (tally.size, tally.digest.hexdigest()):
            raise StoreAway("it holds other bytes than were sent")
        return stored


def _write(file: IO[bytes], digest: "hashlib._Hash", chunk: bytes) -> None:
    digest.update(chunk)
    file.write(chunk)


class _Tally:
    """Number and digest of the bytes that passed, and what ended them early."""

    def __init__(self, cap: int) -> None:
        self.size, self.digest, self._cap = 0, hashlib.sha256(), cap
        self.failure: Exception | None = None

    async def passing(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        try:
            async for chunk in chunks:
                self._count(chunk)
                yield chunk
        except Exception as error:
            self.failure = error
            raise

    def _count(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self.size > self._cap:
            raise TooLarge
        self.digest.update(chunk)
