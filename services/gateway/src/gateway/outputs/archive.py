"""All outputs of a job as one ZIP stream."""

import zipfile
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

from contracts.scheduler.outputs import Output
from gateway.outputs.zip_files import StoredFile, TruncatedFileError, pack_file
from gateway.outputs.zip_sink import ZipSink
from gateway.storage.artifacts import Artifact
from gateway.storage.file_names import ArchiveNames
from gateway.storage.objects import ArtifactStore


@dataclass(frozen=True, slots=True)
class Archive:
    """What goes into a ZIP file. ``made_at``: modification time of its files."""

    files: tuple[tuple[Output, Artifact], ...]
    made_at: datetime


async def stream_archive(archive: Archive, objects: ArtifactStore) -> AsyncGenerator[bytes, None]:
    """Yield the ZIP file in chunks; one chunk is in memory at a time.

    Raises:
        TruncatedFileError: an output was deleted meanwhile, or its size differs from its record.
    """
    sink, names = ZipSink(), ArchiveNames()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as made:
        for output, artifact in archive.files:
            file = StoredFile(names.name(output.name), artifact.key, artifact.size_bytes, archive.made_at)
            try:
                async with aclosing(pack_file(file, into=made, sink=sink, objects=objects)) as pieces:
                    async for piece in pieces:
                        yield piece
            except FileNotFoundError as error:
                raise TruncatedFileError(artifact.key) from error
    yield sink.taken()  # after an error this is not reached, so the client never gets a valid end of the file
