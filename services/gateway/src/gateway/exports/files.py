"""The bytes that go with the records of an export: named while these are written, sent after them."""

import zipfile
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from uuid import UUID

from contracts.scheduler.jobs import Job
from gateway.outputs.zip_files import StoredFile, pack
from gateway.outputs.zip_sink import ZipSink
from gateway.storage.artifacts import Artifacts
from gateway.storage.file_extensions import extension_of
from gateway.storage.file_names import ArchiveNames
from gateway.storage.objects import Objects
from gateway.uploads.store import Upload


class ExportFiles:
    """The files of one export, ``at_most`` so many: each is remembered until all are sent, with less than a kilobyte.

    What nobody can find any more when its turn comes, because it was deleted meanwhile, is left out.
    """

    def __init__(self, tenant: str, artifacts: Artifacts, objects: Objects, *, at_most: int) -> None:
        self._tenant, self._artifacts, self._objects, self._left = tenant, artifacts, objects, at_most
        self._uploads: list[StoredFile] = []
        self._outputs: list[tuple[UUID, str, datetime]] = []

    def of_upload(self, upload: Upload) -> str | None:
        """What the file with its bytes will be called; None where there is no room for it."""
        if not self._has_room():
            return None
        name = f"uploads/{upload.id}{extension_of(upload.content_type)}"
        self._uploads.append(StoredFile(name, upload.key, upload.size_bytes, upload.created_at))
        return name

    def of_outputs(self, job: Job) -> list[str | None]:
        """The same for each output of a job, previews too."""
        names, given = ArchiveNames(), list[str | None]()
        for output in job.outputs:
            if not self._has_room():
                given.append(None)
                continue
            name = f"outputs/{job.job_id}/{names.name(output.name)}"
            self._outputs.append((output.id, name, job.completed_at or job.created_at))
            given.append(name)
        return given

    def _has_room(self) -> bool:
        self._left -= 1
        return self._left >= 0

    async def pack(self, into: zipfile.ZipFile, sink: ZipSink) -> AsyncGenerator[bytes, None]:
        """Write all of them, piece by piece.

        Raises:
            BrokenOffError: one ended before its time.
        """
        async with aclosing(self._found()) as files:
            async for file in files:
                try:
                    async with aclosing(pack(file, into=into, sink=sink, objects=self._objects)) as pieces:
                        async for piece in pieces:
                            yield piece
                except FileNotFoundError:
                    continue

    async def _found(self) -> AsyncGenerator[StoredFile, None]:
        for upload in self._uploads:
            yield upload
        for output_id, name, at in self._outputs:
            artifact = await self._artifacts.get(output_id, tenant_id=self._tenant)
            if artifact is not None:
                yield StoredFile(name, artifact.key, artifact.size_bytes, at)
