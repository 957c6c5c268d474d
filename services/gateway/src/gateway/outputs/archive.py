"""All outputs of a job as one ZIP stream."""

import asyncio
import zipfile
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

from chassis.messaging.bus import Bus
from contracts.gateway.outputs import UnknownOutput
from contracts.scheduler.outputs import Output
from gateway.jobs.schemas import saved_or_previews
from gateway.outputs.find_result import read_finished
from gateway.outputs.zip_files import BrokenOffError, StoredFile, pack
from gateway.outputs.zip_sink import ZipSink
from gateway.storage.artifacts import Artifact, Artifacts
from gateway.storage.file_names import ArchiveNames
from gateway.storage.objects import Objects

LOOKUPS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Archive:
    """What goes into a ZIP file. ``made_at``: the time that its files bear."""

    files: tuple[tuple[Output, Artifact], ...]
    made_at: datetime


async def find_archive(
    text: str, *, tenant: str, temporary: bool | None, bus: Bus, artifacts: Artifacts, objects: Objects
) -> Archive:
    """Outputs of a job, all of which are there at this moment.

    Args:
        temporary: only previews, or only others; None for those that are no previews or, if all are, these.

    Raises:
        JobNotFinished: the job is not completed.
        UnknownOutput: it has none, or the bytes of one are gone.
    """
    job = await read_finished(text, tenant=tenant, bus=bus)
    if temporary is None:
        outputs = saved_or_previews(job.outputs)
    else:
        outputs = [output for output in job.outputs if output.temporary is temporary]
    if not outputs:
        raise UnknownOutput
    places = asyncio.Semaphore(LOOKUPS_AT_ONCE)

    async def find(output: Output) -> Artifact | None:
        async with places:
            artifact = await artifacts.get(output.id, tenant_id=tenant)
            there = artifact and await objects.size(artifact.key) == artifact.size_bytes
        return artifact if there else None

    found = await asyncio.gather(*map(find, outputs))
    files = tuple((output, artifact) for output, artifact in zip(outputs, found, strict=True) if artifact)
    if len(files) < len(outputs):
        raise UnknownOutput
    return Archive(files, job.completed_at or job.created_at)


async def stream(archive: Archive, objects: Objects) -> AsyncGenerator[bytes, None]:
    """The ZIP file piece by piece, holding one at a time.

    Raises:
        BrokenOffError: an output is not there any more, or not as long as it was.
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
    yield sink.taken()  # never reached after an error: what zipfile has written as the end is not the end then
