"""The artifact store: a directory or a bucket (obstore)."""

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
SMALL_BYTES = 1 << 20  # most images: written in one call, which takes half as long as a multipart upload
PART_BYTES = 8 << 20
LISTED = 1000  # keys per page, the maximum of S3
PARTS_AT_ONCE = 2  # parts of one upload in memory

_PARTIAL = re.compile(r".+#\d+")  # temporary file names of obstore's local store


class ArtifactStore:
    """An artifact store.

    Args:
        url: ``file:///folder``, created if missing, or any URL of obstore, such as ``s3://bucket/prefix``.
        secret_access_key: of a bucket, instead of ``AWS_SECRET_ACCESS_KEY`` in the environment.
    """

    def __init__(self, url: str, *, secret_access_key: str | None = None) -> None:
        self._folder: Path | None = None
        self._store: ObjectStore
        if url.startswith("file://"):
            self._folder = Path(unquote(urlsplit(url).path))
            self._folder.mkdir(parents=True, exist_ok=True)
            self._store = LocalStore(self._folder, automatic_cleanup=True)  # removes empty folders
        else:
            has_secret = secret_access_key is not None and url.startswith("s3://")
            self._store = from_url(url, secret_access_key=secret_access_key or "") if has_secret else from_url(url)

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        """Store all chunks durably. If reading them raises, the previous object stays.

        Raises:
            OSError: the store is unavailable or full.
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
        """Copy an object to another key, durably, inside the store.

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
        """The bytes of a non-empty range of at most ``SMALL_BYTES``.

        Raises:
            FileNotFoundError: there is no such object.
        """
        return bytes(await obstore.get_range_async(self._store, key, start=part.first, end=part.end))

    async def delete_under(self, folder: str) -> None:
        """Delete every object in this folder."""
        async for found in obstore.list(self._store, prefix=folder):
            for one in found:
                await self.delete(one["path"])

    async def size(self, key: str) -> int | None:
        """The size of the object in bytes, or None."""
        try:
            return int((await obstore.head_async(self._store, key))["size"])
        except FileNotFoundError:
            return None

    async def delete(self, key: str) -> None:
        """Delete the object if it exists."""
        with suppress(FileNotFoundError):
            await obstore.delete_async(self._store, key)

    async def list_older_than(self, age: timedelta) -> AsyncIterator[list[str]]:
        """The keys of all objects older than this, in batches."""
        before = datetime.now(UTC) - age
        async for batch in obstore.list(self._store, chunk_size=LISTED):
            if found := [one["path"] for one in batch if one["last_modified"] < before]:
                yield found

    async def delete_partial_files(self, age: timedelta) -> int:
        """Delete temporary files of interrupted writes that are older than this; their number.

        A directory store keeps a file under a temporary name until it is complete. For a bucket, configure the rule
        "abort incomplete multipart uploads".
        """
        if self._folder is None:
            return 0
        return await asyncio.to_thread(_delete_partial_files, self._folder, time.time() - age.total_seconds())

    async def open(self, key: str, part: ByteRange) -> AsyncGenerator[bytes, None]:
        """The bytes of a non-empty range in chunks; one chunk is in memory at a time.

        Raises:
            FileNotFoundError: there is no such object.
        """
        found = await obstore.get_async(self._store, key, options={"range": (part.first, part.end)})
        return _chunks(found.stream(min_chunk_size=CHUNK_BYTES))


async def _beginning(chunks: AsyncIterator[bytes]) -> tuple[bytes, bool]:
    """The first bytes, at most one chunk more than ``SMALL_BYTES``, and whether they are all."""
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
        del stream  # a traceback can keep this frame alive, and with it the open file


def _delete_partial_files(folder: Path, before_s: float) -> int:
    count = 0
    for path in folder.rglob("*#*"):
        with suppress(FileNotFoundError):  # it was completed meanwhile
            if _PARTIAL.fullmatch(path.name) and path.is_file() and path.stat().st_mtime < before_s:
                path.unlink()
                count += 1
    return count


def _sync(folder: Path, key: str) -> None:
    """Flush the file and its folders to disk, which obstore 0.12's local store does not do."""
    path = folder / key
    for place in (path, *path.parents):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if place == folder:
            return
