"""Outputs of jobs as one ZIP stream."""

import zipfile
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from contracts.scheduler.jobs import Job
from contracts.scheduler.outputs import Output
from gateway.outputs.zip_files import StoredFile, TruncatedFileError, write_file
from gateway.outputs.zip_sink import ZipSink
from gateway.storage.artifacts import Artifact
from gateway.storage.file_names import UniqueFileNames
from gateway.storage.objects import ArtifactStore


@dataclass(frozen=True, slots=True)
class Archive:
    """The files of a ZIP file. Their names are unique."""

    files: tuple[StoredFile, ...]


def build_job_archive(outputs: Iterable[tuple[Output, Artifact]], modified_at: datetime) -> Archive:
    """Return the archive of one job, without folders."""
    return Archive(_name_files(outputs, "", modified_at))


def build_jobs_archive(jobs: Iterable[tuple[Job, Sequence[tuple[Output, Artifact]]]]) -> Archive:
    """Return the archive of several jobs, with a folder for each that is named by its id."""
    files = (_name_files(outputs, f"{job.job_id}/", job.completed_at or job.created_at) for job, outputs in jobs)
    return Archive(tuple(chain.from_iterable(files)))


def _name_files(
    outputs: Iterable[tuple[Output, Artifact]], folder: str, modified_at: datetime
) -> tuple[StoredFile, ...]:
    names = UniqueFileNames()
    return tuple(
        StoredFile(folder + names.make_unique(output.name), artifact.key, artifact.size_bytes, modified_at)
        for output, artifact in outputs
    )


async def stream_archive(archive: Archive, objects: ArtifactStore) -> AsyncGenerator[bytes, None]:
    """Yield the ZIP file in chunks; one chunk is in memory at a time.

    Raises:
        TruncatedFileError: an output was deleted meanwhile, or its size differs from its record.
    """
    sink = ZipSink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as zip_file:
        for file in archive.files:
            try:
                async with aclosing(write_file(file, archive=zip_file, sink=sink, objects=objects)) as pieces:
                    async for piece in pieces:
                        yield piece
            except FileNotFoundError as error:
                raise TruncatedFileError(file.key) from error
    yield sink.take_written()  # after an error this is not reached, so the client never gets a valid end of the file
