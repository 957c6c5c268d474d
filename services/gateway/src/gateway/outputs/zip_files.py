"""Writes stored objects into a ZIP stream."""

import zipfile
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.outputs.zip_sink import ZipSink
from gateway.storage.byte_range import ByteRange
from gateway.storage.objects import ArtifactStore


class TruncatedFileError(RuntimeError):
    """A file was deleted while it was being sent.

    Closing the connection shows the client that the file is incomplete.
    """


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a ZIP: its name, key in the store and size. ``modified_at``: its modification time."""

    name: str
    key: str
    size_bytes: int
    modified_at: datetime


async def write_file(
    file: StoredFile, *, archive: zipfile.ZipFile, sink: ZipSink, objects: ArtifactStore
) -> AsyncGenerator[bytes, None]:
    """Write a file into the archive uncompressed, in chunks: images do not get smaller.

    Raises:
        FileNotFoundError: the object does not exist; nothing was written.
        TruncatedFileError: the object was deleted meanwhile, or is shorter than recorded.
    """
    async with aclosing(await _open_content(file, objects)) as chunks:
        entry = zipfile.ZipInfo(file.name, _to_dos_time(file.modified_at))
        entry.external_attr = 0o644 << 16
        entry.file_size = left = file.size_bytes  # zipfile decides by it whether to use ZIP64
        with archive.open(entry, "w") as target:
            try:
                async for chunk in chunks:
                    left -= len(chunk)
                    target.write(chunk)
                    yield sink.take_written()
            except OSError as error:
                raise TruncatedFileError(file.key) from error
            if left:
                raise TruncatedFileError(file.key)


async def _open_content(file: StoredFile, objects: ArtifactStore) -> AsyncGenerator[bytes, None]:
    if not file.size_bytes:
        return _iterate_empty()
    return await objects.stream_range(file.key, ByteRange(0, file.size_bytes))


async def _iterate_empty() -> AsyncGenerator[bytes, None]:
    for piece in tuple[bytes, ...]():
        yield piece


def _to_dos_time(timestamp: datetime) -> tuple[int, int, int, int, int, int]:
    utc = timestamp.astimezone(UTC)
    return (max(1980, utc.year), utc.month, utc.day, utc.hour, utc.minute, utc.second)
