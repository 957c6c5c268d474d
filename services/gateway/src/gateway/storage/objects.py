"""The bytes of artifacts: a directory or a bucket (obstore)."""

import asyncio
import os
import re
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from obstore.store import LocalStore, ObjectStore, from_url
from typing_extensions import Buffer

from gateway.storage.byte_range import ByteRange

CHUNK_BYTES = 1 << 20
SMALL_BYTES = 1 << 20  # most pictures: written at once, which takes half as long as a part by part upload
PART_BYTES = 8 << 20
LISTED = 1000  # keys at a time, as many as a bucket gives
PARTS_AT_ONCE = 2  # parts that one upload holds in memory while they are written

_HALF = re.compile(r".+#\d+")  # what obstore's local store calls a file that it is writing


class Objects:
    """An artifact store.

    Args:
        url: ``file:///folder`` (made if missing) or whatever obstore understands, e.g. ``s3://bucket/prefix``.
    """

    def __init__(self, url: str) -> None:
        self._folder: Path | None = None
        self._store: ObjectStore
        if url.startswith("file://"):
            self._folder = Path(unquote(urlsplit(url).path))
            self._folder.mkdir(parents=True, exist_ok=True)
            self._store = LocalStore(self._folder, automatic_cleanup=True)  # of folders that a deletion leaves empty
        else:
            self._store = from_url(url)

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        """Store all chunks durably, or nothing: where reading them raises, whatever was there before stays.

        Raises:
            OSError: the store is away or full.
        """
        begun, whole = await _beginning(chunks)
        if whole:
            await asyncio.to_thread(self._put_small, key, begun)
            return
        await obstore.put_async(
            self._store,
            key,
            _joined(begun, chunks),
            chunk_size=PART_BYTES,
            max_concurrency=PARTS_AT_ONCE,
            use_multipart=True,
        )
        if self._folder is not None:
            await asyncio.to_thread(_sync, self._folder, key)

    async def copy(self, key: str, to: str) -> None:
        """Store the same bytes under another key, durably, without fetching them.

        Raises:
            FileNotFoundError: there is no such object.
        """
        await obstore.copy_async(self._store, key, to)
        if self._folder is not None:
            await asyncio.to_thread(_sync, self._folder, to)

    def _put_small(self, key: str, content: bytes) -> None:
        obstore.put(self._store, key, content, use_multipart=False)
        if self._folder is not None:
            _sync(self._folder, key)

    async def read(self, key: str, part: ByteRange) -> bytes:
        """The bytes of a non-empty part of at most ``SMALL_BYTES``.

        Raises:
            FileNotFoundError: there is no such object.
        """
        return bytes(await obstore.get_range_async(self._store, key, start=part.first, end=part.end))

    async def delete_under(self, folder: str) -> None:
        """Delete every object whose key begins with this folder."""
        async for found in obstore.list(self._store, prefix=folder):
            for one in found:
                await self.delete(one["path"])

    async def size(self, key: str) -> int | None:
        """How many bytes the object has; None if there is none."""
        try:
            return int((await obstore.head_async(self._store, key))["size"])
        except FileNotFoundError:
            return None

    async def delete(self, key: str) -> None:
        """Have the object gone; one that is not there is."""
        with suppress(FileNotFoundError):
            await obstore.delete_async(self._store, key)

    async def old(self, age: timedelta) -> AsyncIterator[list[str]]:
        """The keys of all objects that are older than this, some at a time."""
        before = datetime.now(UTC) - age
        async for batch in obstore.list(self._store, chunk_size=LISTED):
            if found := [one["path"] for one in batch if one["last_modified"] < before]:
                yield found

    async def delete_halves(self, age: timedelta) -> int:
        """Delete what writes that never ended have left, if it is older than this; how many there were.

        A folder keeps such files under another name until they are whole. A bucket has a rule for it, which is its
        owner's to set: abort incomplete multipart uploads.
        """
        if self._folder is None:
            return 0
        return await asyncio.to_thread(_delete_halves, self._folder, time.time() - age.total_seconds())

    async def open(self, key: str, part: ByteRange) -> AsyncGenerator[bytes, None]:
        """The bytes of a non-empty part, in chunks, without holding more than one of them.

        Raises:
            FileNotFoundError: there is no such object.
        """
        found = await obstore.get_async(self._store, key, options={"range": (part.first, part.end)})
        return _chunks(found.stream(min_chunk_size=CHUNK_BYTES))


async def _beginning(chunks: AsyncIterator[bytes]) -> tuple[bytes, bool]:
    """The first bytes, a little more than ``SMALL_BYTES`` at most, and whether they are all."""
    begun = bytearray()
    async for chunk in chunks:
        begun += chunk
        if len(begun) > SMALL_BYTES:
            return bytes(begun), False
    return bytes(begun), True


async def _joined(begun: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield begun
    async for chunk in rest:
        yield chunk


async def _chunks(stream: AsyncIterable[Buffer]) -> AsyncGenerator[bytes, None]:
    try:
        async for chunk in stream:
            yield bytes(chunk)
    finally:
        del stream  # an error's traceback may hold this frame for long, and with it the open file


def _delete_halves(folder: Path, before_s: float) -> int:
    count = 0
    for path in folder.rglob("*#*"):
        with suppress(FileNotFoundError):  # it became whole
            if _HALF.fullmatch(path.name) and path.is_file() and path.stat().st_mtime < before_s:
                path.unlink()
                count += 1
    return count


def _sync(folder: Path, key: str) -> None:
    """Have the file and the names that lead to it on disk: obstore 0.12's local store leaves that to the kernel."""
    path = folder / key
    for place in (path, *path.parents):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if place == folder:
            return
