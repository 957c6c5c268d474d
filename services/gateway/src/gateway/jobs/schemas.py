"""Response bodies for jobs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from contracts.scheduler.jobs import STATUS_OF_STATE, DrawnSeed, Job, JobError, JobStatus, JobWarning, Timings
from contracts.scheduler.outputs import Output, OutputKind, OutputSource
from contracts.scheduler.waiting import Waiting


class Urls(BaseModel):
    """Absolute URLs of a job."""

    self: str
    events: str
    ws: str
    result: str
    cancel: str


class OutputBody(BaseModel):
    """An output; its bytes are at ``url``.

    Attributes:
        temporary: whether it is a preview, which a node saved only temporarily.
        source: "file", or "value" for a text or JSON value that a node reported; its kind is "text".
        key: key under which the node reported it, as in ComfyUI's history: "images", "text"; null if unknown.
        position: index in the list under that key, from 0.
        value: the value itself if it is small, else null. It is at ``url`` in any case.
    """

    id: UUID
    node_id: str
    name: str
    kind: OutputKind
    content_type: str
    size_bytes: int
    sha256: str
    temporary: bool
    source: OutputSource
    key: str | None
    position: int
    value: JsonValue
    url: str


class OutputsBody(BaseModel):
    """The outputs of a job."""

    outputs: list[OutputBody]


class JobBody(BaseModel):
    """A job. Times are RFC 3339, durations seconds.

    Attributes:
        workflow: name of the built-in or saved workflow; ``custom`` for a graph.
        queue_position: position in the order in which jobs of all users start, 1 for the next one; null unless
            pending. Exact up to 200 if jobs take as long as they usually do; beyond, an estimate.
        eta_seconds: estimated time until the job ends, the median; null if it cannot be estimated.
        eta_p90_seconds: estimated time within which 9 of 10 such jobs end; null if it cannot be estimated.
        held: whether an operator holds it.
        waiting: why it has not started, and since when; null unless it is pending.
        warnings: problems of a completed job, such as outputs beyond the day's quota.
        retry_of: the failed job that an operator had run again as this one.
        model: checkpoint of a built-in workflow, also if the server chose it; null for other workflows.
        seed: seed of a built-in workflow; for other workflows the first of ``seeds``, or null.
        seeds: random seeds that nodes got in place of -1, or for all seeds with ``randomize_seeds``; at most 50.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "job_id": "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee",
                    "status": "pending",
                    "workflow": "text-to-image",
                    "progress": 0,
                    "queue_position": 1,
                    "eta_seconds": None,
                    "eta_p90_seconds": None,
                    "waiting": {
                        "reason": "no_node_online",
                        "since": "2026-11-23T09:00:00Z",
                        "message": "No node is online. The job starts when one comes back.",
                        "detail": {"last_online_at": "2026-11-23T08:12:30Z"},
                    },
                    "attempt": 0,
                    "created_at": "2026-11-23T09:00:00Z",
                    "started_at": None,
                    "completed_at": None,
                    "timings": {"queued_seconds": None, "running_seconds": None, "total_seconds": None},
                    "labels": {"campaign": "autumn"},
                    "held": False,
                    "retry_of": None,
                    "outputs": [],
                    "error": None,
                    "warnings": [],
                    "model": "sd_xl_base_1.0.safetensors",
                    "seed": 4711,
                    "seeds": [],
                    "urls": {
                        "self": "https://api.example/api/v1/jobs/0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee",
                        "events": "https://api.example/api/v1/jobs/0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee/events",
                        "ws": "wss://api.example/ws/jobs/0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee",
                        "result": "https://api.example/api/v1/jobs/0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee/result",
                        "cancel": "https://api.example/api/v1/jobs/0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee/cancel",
                    },
                }
            ]
        }
    )

    job_id: UUID
    status: JobStatus
    workflow: str
    progress: Annotated[float, Field(ge=0, le=100)]
    queue_position: int | None
    eta_seconds: float | None
    eta_p90_seconds: float | None
    waiting: Waiting | None
    attempt: int
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    timings: Timings
    labels: dict[str, str]
    held: bool
    retry_of: UUID | None
    outputs: list[OutputBody]
    error: JobError | None
    warnings: list[JobWarning]
    model: str | None
    seed: int | None
    seeds: list[DrawnSeed]
    urls: Urls


class JobsBody(BaseModel):
    """A page of jobs, newest first. ``next_cursor`` is null on the last page."""

    jobs: list[JobBody]
    next_cursor: str | None


def build_job_body(job: Job, public_url: str) -> JobBody:
    return JobBody(
        job_id=job.job_id,
        status=STATUS_OF_STATE[job.state],
        workflow=job.workflow,
        progress=job.progress,
        queue_position=job.queue_position,
        eta_seconds=job.eta_seconds,
        eta_p90_seconds=job.eta_p90_seconds,
        waiting=job.waiting,
        attempt=job.attempt,
        created_at=job.created_at,
        started_at=job.started_at,
        completed_at=job.completed_at,
        timings=job.timings,
        labels=job.labels,
        held=job.held,
        retry_of=job.retry_of,
        outputs=build_output_bodies(job, public_url),
        error=job.error,
        warnings=list(job.warnings),
        model=job.model,
        seed=job.seed,
        seeds=list(job.seeds),
        urls=build_job_urls(job.job_id, public_url),
    )


def build_output_bodies(job: Job, public_url: str) -> list[OutputBody]:
    """Return the outputs of a job in the order of ``?index=``."""
    result = f"{public_url}/api/v1/jobs/{job.job_id}/result" if job.outputs else ""
    return [
        OutputBody(**output.model_dump(), url=f"{result}?index={index}") for index, output in enumerate(job.outputs)
    ]


def build_job_urls(job_id: UUID, public_url: str) -> Urls:
    job = f"{public_url}/api/v1/jobs/{job_id}"
    websocket_url = "ws" + public_url.removeprefix("http")
    return Urls(
        self=job,
        events=f"{job}/events",
        ws=f"{websocket_url}/ws/jobs/{job_id}",
        result=f"{job}/result",
        cancel=f"{job}/cancel",
    )


def pick_output(
    outputs: tuple[Output, ...], *, index: int | None = None, node: str | None = None, temporary: bool | None = None
) -> Output | None:
    """Return the output that ``?index=``, ``?node=`` and ``?temporary=`` select.

    Without an index: the first matching saved file, else the first preview, else the first value.
    """
    if index is not None:
        chosen = outputs[index : index + 1]
    else:
        chosen = tuple(sorted(outputs, key=lambda output: (output.source is OutputSource.VALUE, output.temporary)))
    matching = (output for output in chosen if node in {None, output.node_id} and temporary in {None, output.temporary})
    return next(matching, None)


def choose_saved_or_previews(outputs: Sequence[Output]) -> list[Output]:
    """Return the outputs that are not previews, or all if there are only previews."""
    return [output for output in outputs if not output.temporary] or list(outputs)
