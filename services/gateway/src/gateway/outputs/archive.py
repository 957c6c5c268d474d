"""All outputs of a job as one ZIP stream."""

import zipfile
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

from contracts.scheduler.outputs import Output
from gateway.outputs.zip_files import BrokenOffError, StoredFile, pack
from gateway.outputs.zip_sink import ZipSink
from gateway.storage.artifacts import Artifact
from gateway.storage.file_names import ArchiveNames
from gateway.storage.objects import Objects


@dataclass(frozen=True, slots=True)
class Archive:
    """What goes into a ZIP file. ``made_at``: modification time of its files."""

    files: tuple[tuple[Output, Artifact], ...]
    made_at: datetime


async def stream_archive(archive: Archive, objects: Objects) -> AsyncGenerator[bytes, None]:
    """The ZIP file in chunks; one chunk is in memory at a time.

    Raises:
        BrokenOffError: an output was deleted meanwhile, or its size differs from its record.
    """
    sink, names = ZipSink(), ArchiveNames()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as made:
        for output, artifact in archive.files:
            file = StoredFile(names.name(output.name), artifact.key, artifact.size_bytes, archive.made_at)
            try:
                async with aclosing(pack(file, into=made, sink=sink, objects=objects)) as pieces:
                    async for piece in pieces:
                        yield piece
            except FileNotFoundError as error:
                raise BrokenOffError(artifact.key) from error
    yield sink.taken()  # after an error this is not reached, so the client never gets a valid end of the file
