"""Exports all data of a user as a ZIP stream: one JSON Lines file per kind of record, then all files."""

import json
import zipfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from chassis.messaging.bus import Bus
from contracts.auth.accounts import READ_ACCOUNT, ReadAccount
from contracts.auth.keys import LIST_KEYS, ListKeys
from contracts.auth.sessions import LIST_SESSIONS, ListSessions
from contracts.scheduler.jobs import LIST_JOBS, READ_JOB_GRAPH, Job, ListJobs, ReadJobGraph, UnknownJob
from contracts.scheduler.usage import READ_DAILY_USAGE, USAGE_DAYS, ReadDailyUsage
from contracts.wire.errors import RelayedRefusal
from gateway.exports.errors import ExportRunning
from gateway.exports.files import ExportFiles
from gateway.outputs.zip_sink import ZipSink
from gateway.storage.artifacts import ArtifactRecords
from gateway.storage.objects import ArtifactStore
from gateway.uploads.store import UploadStore
from gateway.workflows.store import WorkflowStore

PAGE_SIZE = 100
RETRY_AFTER_S = 10
MAX_FILES = 50_000  # per export; each takes some hundred bytes of memory

Records = AsyncGenerator[dict[str, Any], None]


@dataclass
class AccountExport:
    """Creates exports, one at a time per user and process.

    Memory holds one page of records or one chunk of a file, and the names of the files to come.

    Passwords, keys and tokens are not exported: only their digests are stored.
    """

    bus: Bus
    uploads: UploadStore
    workflows: WorkflowStore
    artifacts: ArtifactRecords
    objects: ArtifactStore
    _running: set[UUID] = field(default_factory=set)

    async def start_export(self, user_id: UUID, *, with_files: bool) -> AsyncGenerator[bytes, None]:
        """Return the ZIP file in chunks. All refusals are raised before the first chunk.

        Args:
            user_id: user whose data is exported.
            with_files: whether to include the newest ``MAX_FILES`` uploads and outputs. Their records have the name of
                the file in ``file``, or null.

        Raises:
            ExportRunning: another export of this user is running.
            Unavailable, RelayedRefusal: auth or the scheduler does not answer.
        """
        if user_id in self._running:
            raise ExportRunning(retry_after_s=RETRY_AFTER_S)
        self._running.add(user_id)
        try:
            max_files = MAX_FILES if with_files else 0
            files = ExportFiles(str(user_id), self.artifacts, self.objects, max_files=max_files)
            return self._stream_archive(await self._load_small_records(str(user_id)), str(user_id), files)
        except BaseException:
            self.release(user_id)
            raise

    def release(self, user_id: UUID) -> None:
        """Allow the next export of this user."""
        self._running.discard(user_id)

    async def _load_small_records(self, tenant: str) -> dict[str, list[dict[str, Any]]]:
        """Return the small record files, by name."""
        account = await self.bus.request(READ_ACCOUNT, ReadAccount(), tenant=tenant)
        keys = await self.bus.request(LIST_KEYS, ListKeys(), tenant=tenant)
        sessions = await self.bus.request(LIST_SESSIONS, ListSessions(), tenant=tenant)
        usage = await self.bus.request(READ_DAILY_USAGE, ReadDailyUsage(days=USAGE_DAYS), tenant=tenant)
        return {
            "account": _dump_records([account]),
            "keys": _dump_records(keys.keys),
            "sessions": _dump_records(sessions.sessions),
            "usage": _dump_records(usage.days),
        }

    async def _stream_archive(
        self, small_records: dict[str, list[dict[str, Any]]], tenant: str, files: ExportFiles
    ) -> AsyncGenerator[bytes, None]:
        sink = ZipSink()
        record_files = {name: _iterate_records(records) for name, records in small_records.items()} | {
            "workflows": self._iterate_workflow_records(tenant),
            "uploads": self._iterate_upload_records(tenant, files),
            "jobs": self._iterate_job_records(tenant, files),
        }
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, records in record_files.items():
                with archive.open(f"{name}.jsonl", "w", force_zip64=True) as lines:
                    async with aclosing(records):
                        async for record in records:
                            lines.write(json.dumps(record, ensure_ascii=False, default=str).encode() + b"\n")
                            if piece := sink.take_written():
                                yield piece
            async with aclosing(files.write_files(archive, sink)) as pieces:
                async for piece in pieces:
                    yield piece
        yield sink.take_written()

    async def _iterate_job_records(self, tenant: str, files: ExportFiles) -> Records:
        async for job in self._iterate_jobs(tenant):
            try:
                workflow = await self.bus.request(READ_JOB_GRAPH, ReadJobGraph(job_id=job.job_id), tenant=tenant)
            except RelayedRefusal as relayed:
                if relayed.details.code == UnknownJob.code:  # purged since the page was read
                    continue
                raise
            record = job.model_dump(mode="json")
            for output, name in zip(record["outputs"], files.add_outputs(job), strict=True):
                output["file"] = name
            yield record | {"workflow_graph": workflow.graph, "extra_data": workflow.extra_data}

    async def _iterate_jobs(self, tenant: str) -> AsyncIterator[Job]:
        before, more = None, True
        while more:
            page = await self.bus.request(LIST_JOBS, ListJobs(limit=PAGE_SIZE, before=before), tenant=tenant)
            for job in page.jobs:
                yield job
            before, more = (page.jobs[-1].job_id, page.more) if page.jobs else (None, False)

    async def _iterate_workflow_records(self, tenant: str) -> Records:
        before = None
        while summaries := await self.workflows.list_newest(tenant, before=before, limit=PAGE_SIZE):
            for summary in summaries:
                for number in range(1, summary.version + 1):
                    version = await self.workflows.find_version(tenant, summary.name, number)
                    if version is not None:
                        parameters = {
                            name: parameter.model_dump(mode="json") for name, parameter in version.parameters.items()
                        }
                        yield asdict(version.summary) | {"workflow": version.graph, "parameters": parameters}
            before = summaries[-1].id

    async def _iterate_upload_records(self, tenant: str, files: ExportFiles) -> Records:
        before = None
        while page := await self.uploads.list_newest(tenant, before=before, limit=PAGE_SIZE):
            for upload in page:
                yield asdict(upload) | {"file": files.add_upload(upload)}
            before = page[-1].id


def _dump_records(records: Iterable[BaseModel]) -> list[dict[str, Any]]:
    return [record.model_dump(mode="json") for record in records]


async def _iterate_records(records: Iterable[dict[str, Any]]) -> Records:
    for record in records:
        yield record
