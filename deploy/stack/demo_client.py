"""A minimal client of the public API for the demo: submit, watch, fetch."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urljoin

import httpx
import websockets

SUBMIT_TRIES = 20
RETRY_PAUSE_S = 0.1
FINAL_STATUSES = frozenset({"completed", "failed", "cancelled"})


class JobFailed(Exception):
    """The job did not produce an image. The message contains the reason."""


@dataclass(frozen=True, slots=True)
class JobProgress:
    """The latest WebSocket message. ``progress`` is percent."""

    status: str
    progress: float


class DemoClient:
    """A client with one API key.

    Args:
        base_url: URL of the public API.
        key: API key, sent as X-API-Key.
    """

    def __init__(self, base_url: str, key: str) -> None:
        self._headers = {"X-API-Key": key}
        self._socket_url = base_url.replace("http", "ws", 1)
        self._client = httpx.AsyncClient(base_url=base_url, headers=self._headers, timeout=30)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def submit(self, submission: dict[str, Any]) -> str:
        """Submit a job and return its id. Waits for a short time if no node has joined the fleet yet.

        Raises:
            JobFailed: the job was refused.
        """
        for _ in range(SUBMIT_TRIES):
            response = await self._client.post("/api/v1/jobs", json=submission)
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            await asyncio.sleep(RETRY_PAUSE_S)
        if response.status_code != httpx.codes.CREATED:
            raise JobFailed(f"POST /api/v1/jobs responded with {response.status_code}: {response.text}")
        return str(response.json()["job_id"])

    async def watch(self, job_id: str, on_progress: Callable[[JobProgress], None]) -> None:
        """Watch a job until it ends.

        Raises:
            JobFailed: the job did not complete.
        """
        status, progress, error = "pending", 0.0, None
        url = f"{self._socket_url}/ws/jobs/{job_id}"
        async with websockets.connect(url, additional_headers=self._headers) as socket:
            async for text in socket:
                frame = json.loads(text)
                job = frame.get("job") or frame  # a snapshot contains the whole job
                status = job.get("status", status)
                progress = max(progress, float(job.get("progress") or 0))
                error = job.get("error") or error
                on_progress(JobProgress(status, 100 if status == "completed" else progress))
                if frame["type"] == "end" or status in FINAL_STATUSES:
                    break
        if status != "completed":
            raise JobFailed(f"job {job_id} ended {status}: {error}")

    async def download_outputs(self, job_id: str, folder: Path, stem: str) -> list[Path]:
        """Save every output of a job in ``folder``; returns their paths."""
        response = await self._client.get(f"/api/v1/jobs/{job_id}/outputs")
        response.raise_for_status()
        saved = []
        for number, output in enumerate(response.json()["outputs"]):
            content = await self._client.get(urljoin(str(self._client.base_url), output["url"]))
            content.raise_for_status()
            suffix = Path(output["name"]).suffix
            path = folder / f"{stem}{f'-{number + 1}' if number else ''}{suffix}"
            path.write_bytes(content.content)
            saved.append(path)
        return saved
