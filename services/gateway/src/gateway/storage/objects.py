"""The artifact store: a directory or a bucket (obstore)."""

import asyncio
import errno
import os
import re
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url
from typing_extensions import Buffer

from contracts.gateway.transfers import StorageFull
from gateway.storage.byte_range import ByteRange
from gateway.storage.status import RETRY_AFTER_S, StoreStatus, WriteResult

CHUNK_BYTES = 1 << 20
SMALL_BYTES = 1 << 20  # most images: written in one call, which takes half as long as a multipart upload
PART_BYTES = 8 << 20
LIST_PAGE_SIZE = 1000  # keys per page, the maximum of S3
MAX_CONCURRENT_PARTS = 2  # parts of one upload in memory

_PARTIAL = re.compile(r".+#\d+")  # temporary file names of obstore's local store
_OWN_PREFIX = ".comfyfleet/"  # objects about the store itself
MARKER_KEY = f"{_OWN_PREFIX}store.json"
PROBE_BYTES = 1 << 20
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
# Error texts of directories and of the common bucket servers.
_NO_SPACE_TEXT = re.compile(
    r"No space left on device|Disk quota exceeded|QuotaExceeded|XMinioStorageFull|InsufficientStorage|\b507\b"
)


@dataclass(frozen=True, slots=True)
class ListedObject:
    """An object in a listing. ``is_partial``: a temporary file of a write that has not ended."""

    key: str
    size_bytes: int
    modified_at: datetime
    is_partial: bool = False


@dataclass(frozen=True, slots=True)
class FreeSpace:
    """Free bytes, and free inodes if their number is limited."""

    bytes: int
    files: int | None


class ArtifactStore:
    """An artifact store.

    Args:
        url: ``file:///folder``, created if missing, or any URL of obstore, such as ``s3://bucket/prefix``.
        status: records the results of writes, and says whether objects may be deleted.
        secret_access_key: secret access key of a bucket, instead of ``AWS_SECRET_ACCESS_KEY`` in the environment.
    """

    def __init__(self, url: str, status: StoreStatus, *, secret_access_key: str | None = None) -> None:
        self.status = status
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
            StorageFull: the store has no space for it.
            OSError: the store is unavailable.
        """
        prefix, is_complete = await _read_beginning(chunks)
        async with self._count_write():
            if is_complete:
                await asyncio.to_thread(self._put_small, key, prefix)
                return
            await obstore.put_async(
                self._store,
                key,
                _join_chunks(prefix, chunks),
                chunk_size=PART_BYTES,
                max_concurrency=MAX_CONCURRENT_PARTS,
                use_multipart=True,
            )
            if self._folder is not None:
                await asyncio.to_thread(_sync_to_disk, self._folder, key)

    async def copy(self, source_key: str, target_key: str) -> None:
        """Copy an object inside the store, durably.

        Raises:
            FileNotFoundError: there is no such object.
            StorageFull: the store has no space for it.
        """
        async with self._count_write():
            await obstore.copy_async(self._store, source_key, target_key)
            if self._folder is not None:
                await asyncio.to_thread(_sync_to_disk, self._folder, target_key)

    @asynccontextmanager
    async def _count_write(self) -> AsyncIterator[None]:
        """Record the outcome of the write in the ``with`` block.

        A missing source object and errors while producing the bytes are not counted.

        Raises:
            StorageFull: the write failed because the store is full.
        """
        try:
            yield
        except FileNotFoundError:
            raise
        except (OSError, BaseError) as error:
            if _lacks_space(error):
                self.status.record_write(WriteResult.FULL)
                raise StorageFull(retry_after_s=RETRY_AFTER_S) from error
            self.status.record_write(WriteResult.FAILED)
            raise
        self.status.record_write(WriteResult.OK)

    async def measure_free_space(self) -> FreeSpace | None:
        """Return the free space of a directory; None for a bucket, which does not report it."""
        return None if self._folder is None else await asyncio.to_thread(_measure_free_space, self._folder)

    async def can_write(self) -> bool:
        """Whether an object of ``PROBE_BYTES`` can be stored."""
        key = f"{_OWN_PREFIX}probe-{uuid4()}"
        try:
            await asyncio.to_thread(self._put_small, key, bytes(PROBE_BYTES))
        except (OSError, BaseError):
            return False
        finally:
            with suppress(OSError, BaseError):
                await self.delete(key)
        return True

    async def read_marker(self) -> bytes | None:
        """Return the marker, which identifies the store; None if there is none."""
        try:
            return bytes(await (await obstore.get_async(self._store, MARKER_KEY)).bytes_async())
        except FileNotFoundError:
            return None

    async def write_marker(self, content: bytes) -> None:
        """Write or replace the marker."""
        await asyncio.to_thread(self._put_small, MARKER_KEY, content)

    async def list_objects(self) -> AsyncIterator[list[ListedObject]]:
        """Yield all objects and temporary files of interrupted writes in batches, without those about the store itself.

        A directory store keeps a file under a temporary name until it is complete. For a bucket, configure the rule
        "abort incomplete multipart uploads".
        """
        async for batch in obstore.list(self._store, chunk_size=LIST_PAGE_SIZE):
            yield [
                ListedObject(entry["path"], entry["size"], entry["last_modified"])
                for entry in batch
                if not entry["path"].startswith(_OWN_PREFIX)
            ]
        if self._folder is not None:
            yield await asyncio.to_thread(_list_partial_files, self._folder)

    async def delete_listed(self, listed: ListedObject) -> None:
        """Delete a listed object or temporary file if it exists."""
        if not listed.is_partial:
            await self.delete(listed.key)
        elif self._folder is not None:
            await asyncio.to_thread((self._folder / listed.key).unlink, missing_ok=True)

    def _put_small(self, key: str, content: bytes) -> None:
        obstore.put(self._store, key, content, use_multipart=False)
        if self._folder is not None:
            _sync_to_disk(self._folder, key)

    async def read_range(self, key: str, part: ByteRange) -> bytes:
        """Return the bytes of a non-empty range of at most ``SMALL_BYTES``.

        Raises:
            FileNotFoundError: there is no such object.
        """
        return bytes(await obstore.get_range_async(self._store, key, start=part.first, end=part.end))

    async def delete_folder(self, folder: str) -> None:
        """Delete every object in this folder."""
        async for batch in obstore.list(self._store, prefix=folder):
            for entry in batch:
                await self.delete(entry["path"])

    async def find_size(self, key: str) -> int | None:
        """Return the size of the object in bytes; None if there is no such object."""
        try:
            return int((await obstore.head_async(self._store, key))["size"])
        except FileNotFoundError:
            return None

    async def delete(self, key: str) -> None:
        """Delete the object if it exists."""
        with suppress(FileNotFoundError):
            await obstore.delete_async(self._store, key)

    async def stream_range(self, key: str, part: ByteRange) -> AsyncGenerator[bytes, None]:
        """Return the bytes of a non-empty range in chunks; one chunk is in memory at a time.

        Raises:
            FileNotFoundError: there is no such object.
        """
        found = await obstore.get_async(self._store, key, options={"range": (part.first, part.end)})
        return _iterate_chunks(found.stream(min_chunk_size=CHUNK_BYTES))


async def _read_beginning(chunks: AsyncIterator[bytes]) -> tuple[bytes, bool]:
    """Return the first bytes, at most one chunk more than ``SMALL_BYTES``, and whether they are all."""
    prefix = bytearray()
    async for chunk in chunks:
        prefix += chunk
        if len(prefix) > SMALL_BYTES:
            return bytes(prefix), False
    return bytes(prefix), True


async def _join_chunks(prefix: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield prefix
    async for chunk in rest:
        yield chunk


async def _iterate_chunks(stream: AsyncIterable[Buffer]) -> AsyncGenerator[bytes, None]:
    try:
        async for chunk in stream:
            yield bytes(chunk)
    finally:
        del stream  # a traceback can keep this frame alive, and with it the open file


def _list_partial_files(folder: Path) -> list[ListedObject]:
    found = []
    for path in folder.rglob("*#*"):
        with suppress(FileNotFoundError):  # it was completed meanwhile
            if _PARTIAL.fullmatch(path.name) and path.is_file():
                stat = path.stat()
                modified_at = datetime.fromtimestamp(stat.st_mtime, UTC)
                key = path.relative_to(folder).as_posix()
                found.append(ListedObject(key, stat.st_size, modified_at, is_partial=True))
    return found


def _measure_free_space(folder: Path) -> FreeSpace:
    found = os.statvfs(folder)
    return FreeSpace(found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None)


def _lacks_space(error: BaseException) -> bool:
    return getattr(error, "errno", None) in _NO_SPACE or _NO_SPACE_TEXT.search(str(error)) is not None


def _sync_to_disk(folder: Path, key: str) -> None:
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
