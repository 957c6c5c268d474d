"""The files of an account export: named while the records are written, sent after them."""

import zipfile
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from uuid import UUID

from contracts.scheduler.jobs import Job
from gateway.outputs.zip_files import StoredFile, write_file
from gateway.outputs.zip_sink import ZipSink
from gateway.storage.artifacts import ArtifactRecords
from gateway.storage.file_extensions import find_extension
from gateway.storage.file_names import UniqueFileNames
from gateway.storage.objects import ArtifactStore
from gateway.uploads.store import Upload


class ExportFiles:
    """Collects at most ``max_files`` files, and writes them into the ZIP file.

    Each takes less than a kilobyte of memory. Files that were deleted meanwhile are left out.
    """

    def __init__(self, tenant: str, artifacts: ArtifactRecords, objects: ArtifactStore, *, max_files: int) -> None:
        self._tenant, self._artifacts, self._objects, self._left = tenant, artifacts, objects, max_files
        self._uploads: list[StoredFile] = []
        self._outputs: list[tuple[UUID, str, datetime]] = []

    def add_upload(self, upload: Upload) -> str | None:
        """Return the name of the upload's file in the export; None beyond ``max_files``."""
        if not self._reserve_file():
            return None
        name = f"uploads/{upload.id}{find_extension(upload.content_type)}"
        self._uploads.append(StoredFile(name, upload.key, upload.size_bytes, upload.created_at))
        return name

    def add_outputs(self, job: Job) -> list[str | None]:
        """Return the name of each output's file in the export, previews included; None beyond ``max_files``."""
        unique_names, names = UniqueFileNames(), list[str | None]()
        for output in job.outputs:
            if not self._reserve_file():
                names.append(None)
                continue
            name = f"outputs/{job.job_id}/{unique_names.make_unique(output.name)}"
            self._outputs.append((output.id, name, job.completed_at or job.created_at))
            names.append(name)
        return names

    def _reserve_file(self) -> bool:
        self._left -= 1
        return self._left >= 0

    async def write_files(self, archive: zipfile.ZipFile, sink: ZipSink) -> AsyncGenerator[bytes, None]:
        """Write all files, in chunks.

        Raises:
            TruncatedFileError: a file is shorter than its record says.
        """
        async with aclosing(self._find_files()) as files:
            async for file in files:
                try:
                    async with aclosing(write_file(file, archive=archive, sink=sink, objects=self._objects)) as pieces:
                        async for piece in pieces:
                            yield piece
                except FileNotFoundError:
                    continue

    async def _find_files(self) -> AsyncGenerator[StoredFile, None]:
        for upload in self._uploads:
            yield upload
        for output_id, name, modified_at in self._outputs:
            artifact = await self._artifacts.find_artifact(output_id, tenant_id=self._tenant)
            if artifact is not None:
                yield StoredFile(name, artifact.key, artifact.size_bytes, modified_at)
