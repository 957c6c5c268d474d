"""The notifier with a real socket, NATS and PostgreSQL; auth and scheduler are scripted."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from websockets.asyncio.client import ClientConnection

from chassis.messaging import streams
from contracts.executor.progress import PROGRESS, Progress
from contracts.registry import STREAMS
from contracts.scheduler.jobs import JOB_CHANGED, JOB_CHANGED_LIVE, JobEvent, JobState
from notifier.app import create_app
from notifier.settings import Settings
from tests.kit.http import http_client
from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer
from tests.kit.retrying_connect import RetryingConnect
from tests.kit.scripted import Script
from tests.kit.serving import serving
from tests.kit.waiting import until

ALICE = {"X-API-Key": "alice-key"}
BOB = {"X-API-Key": "bob-key"}


@pytest.fixture(scope="package")
async def database_url(postgres_server: PostgresServer) -> str:
    return await postgres_server.create_database("notifier")


@dataclass
class World:
    """A running notifier with scripted services."""

    at: str
    script: Script

    def job(self) -> UUID:
        return self.script.scheduler.add(self.script.alice, uuid4()).job_id

    def watch(
        self, job_id: object, query: str = "", headers: dict[str, str] | None = None, **more: Any
    ) -> RetryingConnect:
        """Return a WebSocket that watches a job, as a context manager; ``more`` are options of ``RetryingConnect``."""
        return self._connect(f"/ws/jobs/{job_id}{query}", headers, **more)

    def watch_many(self, query: str = "", headers: dict[str, str] | None = None, **more: Any) -> RetryingConnect:
        """Return a WebSocket that can watch many jobs, as a context manager."""
        return self._connect(f"/ws{query}", headers, **more)

    def _connect(self, path: str, headers: dict[str, str] | None, **more: Any) -> RetryingConnect:
        sent = ALICE if headers is None else headers
        return RetryingConnect(f"ws://{self.at}{path}", additional_headers=sent, proxy=None, open_timeout=20, **more)

    async def happen(self, job_id: UUID, state: JobState, **more: Any) -> JobEvent:
        """Change a job and publish its event, both to the stream and as a live message."""
        event = self.script.scheduler.change(job_id, state, **more)
        await self.publish(event)
        return event

    async def publish(self, event: JobEvent) -> None:
        subject = JOB_CHANGED.subject(str(event.tenant_id), str(event.job_id))
        await self.script.bus.jetstream.publish(subject, event.model_dump_json().encode())
        await self.script.bus.publish(JOB_CHANGED_LIVE, event, tenant=str(event.tenant_id), key=str(event.job_id))

    async def progress(self, job_id: UUID, percent: float, attempt: int = 1) -> None:
        job = self.script.scheduler.jobs[job_id]
        said = Progress(job_id=job_id, attempt=attempt, progress=percent, at=job.created_at)
        await self.script.bus.publish(PROGRESS, said, tenant=str(job.tenant_id), key=str(job_id))


@asynccontextmanager
async def world_at(nats_url: str, database_url: str, **settings: object) -> AsyncIterator[World]:
    script = Script(nats_url)
    await script.start()
    try:
        await streams.create_missing_streams(script.bus, STREAMS)
        values = {"nats_url": nats_url, "database_url": database_url, "reread_s": 60} | settings
        async with serving(create_app(Settings.model_validate(values))) as at:
            async with http_client() as http:

                async def ready() -> bool:
                    return (await http.get(f"http://{at}/readyz")).status_code == 200

                await until(ready)
            yield World(at, script)
    finally:
        await script.stop()


@pytest.fixture
async def world(nats_server: NatsServer, database_url: str) -> AsyncIterator[World]:
    """A notifier that does not poll during a test: it reads again only after it has noticed a gap."""
    async with world_at(nats_server.url, database_url) as world:
        yield world


async def frame(socket: ClientConnection) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await socket.recv())
    return found


async def rest(socket: ClientConnection) -> list[dict[str, Any]]:
    """Read all frames until the server closes the WebSocket."""
    return [json.loads(message) async for message in socket]


def states(frames: list[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(found["seq"], found["status"]) for found in frames if found["type"] == "status"]
