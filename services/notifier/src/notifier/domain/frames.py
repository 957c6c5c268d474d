"""Frames for clients: JSON objects with ``type``, ``job_id``, ``at`` and, for states, ``seq``.

Output frames have no ``seq``: a client that was disconnected between them and the final status resumes before it and
receives both again.
"""

import json
from datetime import datetime
from typing import Any

from contracts.executor.progress import Progress
from contracts.scheduler.jobs import FINAL_STATES, STATUS_OF_STATE, Job, JobError, JobEvent
from contracts.scheduler.outputs import Output
from contracts.wire.errors import Refused


def encode_snapshot(job: Job, *, progress: float, at: datetime) -> str:
    """Return the current state of the job, the first frame for every client."""
    body: dict[str, Any] = {
        "type": "snapshot",
        "job_id": str(job.job_id),
        "seq": job.seq,
        "at": at.isoformat(),
        "status": STATUS_OF_STATE[job.state],
        "progress": progress,
        "attempt": job.attempt,
        "queue_position": job.queue_position,
        "eta_seconds": job.eta_seconds,
        "eta_p90_seconds": job.eta_p90_seconds,
        "waiting": _build_waiting_fields(job),
        "outputs": [_build_output_fields(job.job_id, index, output) for index, output in enumerate(job.outputs)],
        "urls": _build_job_urls(job),
    }
    return json.dumps(body | _build_error_fields(job.error))


def encode_waiting(job: Job, *, at: datetime) -> str:
    """Return the reason why a pending job is waiting."""
    body = {
        "type": "waiting",
        "job_id": str(job.job_id),
        "at": at.isoformat(),
        "queue_position": job.queue_position,
        "eta_seconds": job.eta_seconds,
        "eta_p90_seconds": job.eta_p90_seconds,
        "waiting": _build_waiting_fields(job),
    }
    return json.dumps(body)


def encode_event(event: JobEvent) -> tuple[str, ...]:
    """Return the frames of an event: its status; for a final one the outputs before it and ``end`` after it."""
    status = {
        "type": "status",
        "job_id": str(event.job_id),
        "seq": event.seq,
        "status": STATUS_OF_STATE[event.state],
        "at": event.at.isoformat(),
        "attempt": event.attempt,
    } | _build_error_fields(event.error)
    if event.state not in FINAL_STATES:
        return (json.dumps(status),)
    outputs = (
        {"type": "output", "at": event.at.isoformat()} | _build_output_fields(event.job_id, index, output)
        for index, output in enumerate(event.outputs)
    )
    return (*map(json.dumps, outputs), json.dumps(status), encode_end(event))


def encode_end(event: JobEvent) -> str:
    """Return the last frame of a job."""
    return json.dumps(
        {
            "type": "end",
            "job_id": str(event.job_id),
            "seq": event.seq,
            "status": STATUS_OF_STATE[event.state],
            "at": event.at.isoformat(),
        }
    )


def encode_progress(progress: Progress) -> str:
    """Return the progress of the running attempt."""
    return json.dumps({"type": "progress"} | progress.model_dump(mode="json"))


def encode_unsubscribed(job_id: str, *, at: datetime) -> str:
    """Return the confirmation that a subscription has ended."""
    return json.dumps({"type": "unsubscribed", "job_id": job_id, "at": at.isoformat()})


def encode_refusal(job_id: str, refusal: Refused, *, at: datetime) -> str:
    """Return the error that this job cannot be watched. Other subscriptions continue."""
    fields = {"code": refusal.code, "message": refusal.message}
    return json.dumps({"type": "error", "job_id": job_id, "at": at.isoformat()} | fields)


def build_final_event(job: Job) -> JobEvent:
    """Return the final event of an ended job, with the fields that the job itself has."""
    return JobEvent(
        job_id=job.job_id,
        tenant_id=job.tenant_id,
        seq=job.seq,
        state=job.state,
        cause="ended",
        attempt=job.attempt,
        at=job.completed_at or job.created_at,
        outputs=job.outputs,
        error=job.error,
    )


def _build_output_fields(job_id: object, index: int, output: Output) -> dict[str, Any]:
    fields = output.model_dump(mode="json")
    return {"job_id": str(job_id), "index": index, "url": f"/api/v1/jobs/{job_id}/result?index={index}"} | fields


def _build_waiting_fields(job: Job) -> dict[str, Any] | None:
    return job.waiting.model_dump(mode="json") if job.waiting else None


def _build_job_urls(job: Job) -> dict[str, str]:
    path = f"/api/v1/jobs/{job.job_id}"
    return {"self": path, "events": f"{path}/events", "result": f"{path}/result", "cancel": f"{path}/cancel"}


def _build_error_fields(error: JobError | None) -> dict[str, Any]:
    return {"error": error.model_dump(mode="json")} if error else {}
