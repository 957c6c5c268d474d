"""All that is kept of a user, as one ZIP stream: a file of JSON lines for each sort of thing."""

import json
import zipfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from chassis.bus import Bus
from contracts.auth import LIST_KEYS, READ_ACCOUNT, ListKeys, ReadAccount
from contracts.operations import READ_USAGE, USAGE_DAYS, ReadUsage
from contracts.retention import LIST_SESSIONS, READ_GRAPH, ListSessions, ReadGraph
from contracts.scheduler import LIST_JOBS, Job, ListJobs, UnknownJob
from contracts.wire.errors import Relayed
from gateway.domain.errors import ExportRunning
from gateway.domain.zip_sink import ZipSink
from gateway.store.uploads import Uploads
from gateway.store.workflows import Workflows

PAGE = 100
AGAIN_S = 10

Records = AsyncGenerator[dict[str, Any], None]


@dataclass
class AccountExport:
    """Makes exports, one at a time for each user in each process; it holds one page of records in memory.

    Passwords, keys and tokens are in none: nobody keeps them but as digests. The bytes of outputs and uploads are not
    either; their records say where to fetch them.
    """

    bus: Bus
    uploads: Uploads
    workflows: Workflows
    _running: set[UUID] = field(default_factory=set)

    async def begin(self, user_id: UUID) -> AsyncGenerator[bytes, None]:
        """The ZIP file, piece by piece. What can be refused is refused before its first.

        Raises:
            ExportRunning: one of this user is on its way.
            Unavailable, Relayed: auth or scheduler cannot tell now.
        """
        if user_id in self._running:
            raise ExportRunning(retry_after_s=AGAIN_S)
        self._running.add(user_id)
        try:
            return self._stream(await self._known(str(user_id)), user_id)
        except BaseException:
            self.end(user_id)
            raise

    def end(self, user_id: UUID) -> None:
        """The export was sent, or nobody takes it any more."""
        self._running.discard(user_id)

    async def _known(self, tenant: str) -> dict[str, list[dict[str, Any]]]:
        """What is small, by file."""
        account = await self.bus.ask(READ_ACCOUNT, ReadAccount(), tenant=tenant)
        keys = await self.bus.ask(LIST_KEYS, ListKeys(), tenant=tenant)
        sessions = await self.bus.ask(LIST_SESSIONS, ListSessions(), tenant=tenant)
        usage = await self.bus.ask(READ_USAGE, ReadUsage(days=USAGE_DAYS), tenant=tenant)
        return {
            "account": _dumped([account]),
            "keys": _dumped(keys.keys),
            "sessions": _dumped(sessions.sessions),
            "usage": _dumped(usage.days),
        }

    async def _stream(self, known: dict[str, list[dict[str, Any]]], user_id: UUID) -> AsyncGenerator[bytes, None]:
        tenant, sink = str(user_id), ZipSink()
        files = {name: _each(records) for name, records in known.items()} | {
            "jobs": self._jobs(tenant),
            "workflows": self._workflows(tenant),
            "uploads": self._uploads(tenant),
        }
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as made:
            for name, records in files.items():
                with made.open(f"{name}.jsonl", "w", force_zip64=True) as file:
                    async with aclosing(records):
                        async for record in records:
                            file.write(json.dumps(record, ensure_ascii=False, default=str).encode() + b"\n")
                            if piece := sink.taken():
                                yield piece
        yield sink.taken()

    async def _jobs(self, tenant: str) -> Records:
        async for job in self._every_job(tenant):
            try:
                graph = (await self.bus.ask(READ_GRAPH, ReadGraph(job_id=job.job_id), tenant=tenant)).graph
            except Relayed as relayed:
                if relayed.refused.code == UnknownJob.code:  # purged since the page was read
                    continue
                raise
            yield job.model_dump(mode="json") | {"workflow_graph": graph}

    async def _every_job(self, tenant: str) -> AsyncIterator[Job]:
        before, more = None, True
        while more:
            page = await self.bus.ask(LIST_JOBS, ListJobs(limit=PAGE, before=before), tenant=tenant)
            for job in page.jobs:
                yield job
            before, more = (page.jobs[-1].job_id, page.more) if page.jobs else (None, False)

    async def _workflows(self, tenant: str) -> Records:
        before = None
        while headings := await self.workflows.page(tenant, before=before, at_most=PAGE):
            for heading in headings:
                for number in range(1, heading.version + 1):
                    version = await self.workflows.get(tenant, heading.name, number)
                    if version is not None:
                        parameters = {name: one.model_dump(mode="json") for name, one in version.parameters.items()}
                        yield asdict(version.heading) | {"workflow": version.graph, "parameters": parameters}
            before = headings[-1].id

    async def _uploads(self, tenant: str) -> Records:
        before = None
        while page := await self.uploads.page(tenant, before=before, at_most=PAGE):
            for upload in page:
                yield asdict(upload)
            before = page[-1].id


def _dumped(records: Iterable[BaseModel]) -> list[dict[str, Any]]:
    return [record.model_dump(mode="json") for record in records]


async def _each(records: Iterable[dict[str, Any]]) -> Records:
    for record in records:
        yield record
