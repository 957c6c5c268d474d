"""Response bodies for the queue and for trends."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from contracts.auth.tiers import Tier
from contracts.scheduler.queue import Queue
from contracts.scheduler.trends import TrendCounts, Trends
from contracts.scheduler.waiting import Waiting
from gateway.admin.operation_schemas import TierQueueBody, build_tier_queue_body

_AT = "2026-11-23T09:00:00Z"
_JOB = "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee"
_USER = "0199f2b0-1111-7a51-9d24-5a1be0c0ffee"


def _with_example(**example: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [example]})


class QueuedTenantBody(BaseModel):
    """A user with waiting jobs.

    ``queued``: without held jobs, which ``held`` counts. ``max_running``: limit of running jobs, null if unlimited.
    ``oldest_wait_seconds``: age of the oldest job that is not held. ``position``: place in the fair order, 1 is served
    next; null if none of its jobs may start now, whatever node is free. ``first_job_id``: the job that comes first, and
    ``waiting`` why it waits; null if it has just left the queue. ``username``: null if it cannot be read now.
    """

    tenant_id: UUID
    username: str | None
    tier: Tier
    weight: float
    queued: int
    held: int
    running: int
    max_running: int | None
    oldest_wait_seconds: float | None
    position: int | None
    first_job_id: UUID | None
    waiting: Waiting | None


class QueueBody(BaseModel):
    """Waiting jobs by tier and by user. ``found`` counts all users that match, also those beyond ``limit``."""

    model_config = _with_example(
        at=_AT,
        tiers=[{"tier": "free", "waiting": 3, "held": 0, "running": 1, "oldest_wait_seconds": 12.5}],
        found=1,
        tenants=[
            {
                "tenant_id": _USER,
                "username": "ada",
                "tier": "free",
                "weight": 1.0,
                "queued": 3,
                "held": 0,
                "running": 1,
                "max_running": 1,
                "oldest_wait_seconds": 12.5,
                "position": None,
                "first_job_id": _JOB,
                "waiting": {
                    "reason": "concurrency_limit",
                    "since": _AT,
                    "message": "The account has reached its limit of concurrent jobs: 1 of 1 are running.",
                    "detail": {"limit": 1, "running": 1},
                },
            }
        ],
    )

    at: datetime
    tiers: list[TierQueueBody]
    found: int
    tenants: list[QueuedTenantBody]


def build_queue_body(queue: Queue, usernames: Mapping[UUID, str]) -> QueueBody:
    return QueueBody(
        at=queue.at,
        tiers=[build_tier_queue_body(tier) for tier in queue.tiers],
        found=queue.found,
        tenants=[
            QueuedTenantBody(
                **tenant.model_dump(exclude={"oldest_wait_s", "waiting"}),
                username=usernames.get(tenant.tenant_id),
                oldest_wait_seconds=tenant.oldest_wait_s,
                waiting=tenant.waiting,
            )
            for tenant in queue.tenants
        ],
    )


class TrendCountsBody(BaseModel):
    """What happened in a period.

    ``started`` counts attempts, also repeated ones; ``failed`` includes expired jobs; ``images`` are those of jobs that
    ended. ``wait_*``: time from the submission to the newest attempt of jobs that ended and had one; ``run_*``: from
    there to the end; within 10 %, null if there are no such jobs. ``busy_share``: share of the time of online nodes in
    which they held a job, 0 to 1, null if unknown.
    """

    submitted: int
    started: int
    completed: int
    failed: int
    cancelled: int
    images: int
    wait_p50_seconds: float | None
    wait_p95_seconds: float | None
    run_p50_seconds: float | None
    run_p95_seconds: float | None
    busy_share: float | None


class TrendBucketBody(TrendCountsBody):
    """What happened from ``at`` until the next bucket."""

    at: datetime


class FailureCountBody(BaseModel):
    """Jobs that failed with a code, and the newest of them; null if it was deleted."""

    code: str
    count: int
    job_id: UUID | None


class NodeTrendBody(BaseModel):
    """Attempts on a node. ``failed``: because of their workflow; ``faults``: because of the node."""

    node: str
    started: int
    succeeded: int
    failed: int
    faults: int
    busy_share: float | None


_COUNTS: dict[str, Any] = {
    "submitted": 60, "started": 59, "completed": 58, "failed": 1, "cancelled": 0, "images": 116,
    "wait_p50_seconds": 0.8, "wait_p95_seconds": 4.2, "run_p50_seconds": 6.1, "run_p95_seconds": 11.9,
    "busy_share": 0.62,
}  # fmt: skip


class TrendsBody(BaseModel):
    """A window in buckets of equal length, oldest first, without gaps; the last one is not over.

    ``failures``: the 50 most frequent codes. ``nodes``: by name, at most 1,000; their numbers cover whole periods of 10
    minutes or, if ``from`` is about two days ago or more, whole hours.
    """

    model_config = ConfigDict(
        populate_by_name=True,
        json_schema_extra={
            "examples": [
                {
                    "from": _AT,
                    "to": "2026-11-23T09:05:00Z",
                    "step_seconds": 300,
                    "totals": _COUNTS,
                    "buckets": [_COUNTS | {"at": _AT}],
                    "failures": [{"code": "node.error", "count": 1, "job_id": _JOB}],
                    "nodes": [
                        {"node": "gpu-7", "started": 59, "succeeded": 58, "failed": 1, "faults": 0, "busy_share": 0.62}
                    ],
                }
            ]
        },
    )

    start: datetime = Field(serialization_alias="from")
    to: datetime
    step_seconds: int
    totals: TrendCountsBody
    buckets: list[TrendBucketBody]
    failures: list[FailureCountBody]
    nodes: list[NodeTrendBody]


def build_trends_body(trends: Trends) -> TrendsBody:
    return TrendsBody(
        start=trends.start,
        to=trends.end,
        step_seconds=trends.step_s,
        totals=TrendCountsBody(**_rename_seconds_fields(trends.totals)),
        buckets=[TrendBucketBody(**_rename_seconds_fields(bucket)) for bucket in trends.buckets],
        failures=[FailureCountBody(**failure.model_dump()) for failure in trends.failures],
        nodes=[NodeTrendBody(**node.model_dump()) for node in trends.nodes],
    )


def _rename_seconds_fields(counts: TrendCounts) -> dict[str, Any]:
    return {f"{name}econds" if name.endswith("_s") else name: value for name, value in counts.model_dump().items()}
