"""Response bodies for the queue."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from contracts.auth.tiers import Tier
from contracts.scheduler.queue import Queue
from contracts.scheduler.waiting import Waiting
from gateway.admin.operation_schemas import TierQueueBody, present_tier_queue

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


def present_queue(queue: Queue, usernames: Mapping[UUID, str]) -> QueueBody:
    return QueueBody(
        at=queue.at,
        tiers=[present_tier_queue(tier) for tier in queue.tiers],
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
