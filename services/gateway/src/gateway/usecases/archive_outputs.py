"""All outputs of a job as one ZIP stream."""

import asyncio
import zipfile
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

from chassis.bus import Bus
from contracts.gateway import NoArtifact
from contracts.scheduler import Output
from gateway.domain.archive_name import ArchiveNames
from gateway.domain.byte_range import ByteRange
from gateway.domain.zip_sink import ZipSink
from gateway.store.artifacts import Artifact, Artifacts
from gateway.store.objects import Objects
from gateway.usecases.find_result import read_finished

LOOKUPS_AT_ONCE = 8


class BrokenOffError(RuntimeError):
    """An output vanished while it was being sent. The connection ends with it, so that nobody takes a part for all."""


@dataclass(frozen=True, slots=True)
class Archive:
    """What goes into a ZIP file. ``made_at``: the time that its files bear."""

    files: tuple[tuple[Output, Artifact], ...]
    made_at: datetime


async def find_archive(text: str, *, tenant: str, bus: Bus, artifacts: Artifacts, objects: Objects) -> Archive:
    """The outputs of a job that are no mere previews, all of which are there at this moment.

    Raises:
        NotFinished: the job is not completed.
        NoArtifact: it has none, or the bytes of one are gone.
    """
    job = await read_finished(text, tenant=tenant, bus=bus)
    outputs = [output for output in job.outputs if not output.temporary]
    if not outputs:
        raise NoArtifact
    places = asyncio.Semaphore(LOOKUPS_AT_ONCE)

    async def find(output: Output) -> Artifact | None:
        async with places:
            artifact = await artifacts.get(output.id, tenant_id=tenant)
            there = artifact and await objects.size(artifact.key) == artifact.size_bytes
        return artifact if there else None

    found = await asyncio.gather(*map(find, outputs))
    files = tuple((output, artifact) for output, artifact in zip(outputs, found, strict=True) if artifact)
    if len(files) < len(outputs):
        raise NoArtifact
    return Archive(files, job.completed_at or job.created_at)


async def stream(archive: Archive, objects: Objects) -> AsyncGenerator[bytes, None]:
    """The ZIP file piece by piece, holding one at a time; pictures do not get smaller, so they are stored as they are.

    Raises:
        BrokenOffError: an output is not there any more, or not as long as it was.
    """
    sink, names = ZipSink(), ArchiveNames()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as made:
        for output, artifact in archive.files:
            entry = zipfile.ZipInfo(names.name(output.name), _dos_time(archive.made_at))
            entry.external_attr = 0o644 << 16
            entry.file_size = left = artifact.size_bytes  # by which zipfile decides about ZIP64
            with made.open(entry, "w") as file:
                async with aclosing(_content(artifact, objects)) as chunks:
                    async for chunk in chunks:
                        left -= len(chunk)
                        file.write(chunk)
                        yield sink.taken()
                if left:
                    raise BrokenOffError(artifact.key)
    yield sink.taken()  # never reached after an error: what zipfile has written as the end is not the end then


async def _content(artifact: Artifact, objects: Objects) -> AsyncGenerator[bytes, None]:
    if not artifact.size_bytes:
        return
    try:
        async for chunk in await objects.open(artifact.key, ByteRange(0, artifact.size_bytes)):
            yield chunk
    except OSError as error:
        raise BrokenOffError(artifact.key) from error


def _dos_time(moment: datetime) -> tuple[int, int, int, int, int, int]:
    utc = moment.astimezone(UTC)
    return (max(1980, utc.year), utc.month, utc.day, utc.hour, utc.minute, utc.second)
