"""A tenant's jobs, page by page."""

import json
from datetime import datetime

from chassis.messaging.bus import Bus
from contracts.scheduler.jobs import LIST_JOBS, STATUS_OF_STATE, Job, JobState, JobStatus, ListJobs
from gateway.api.v1 import cursors


async def list_jobs(
    *,
    tenant: str,
    limit: int,
    cursor: str | None,
    status: JobStatus | None,
    workflow: str | None,
    label: tuple[str, str] | None,
    created_after: datetime | None,
    created_before: datetime | None,
    key: bytes,
    bus: Bus,
) -> tuple[tuple[Job, ...], str | None]:
    """A page, newest first, and the cursor of the next one.

    Raises:
        BadCursor: the cursor was not given out for this tenant and filter.
    """
    bounds = [at and at.isoformat() for at in (created_after, created_before)]
    filters = json.dumps([status, workflow, label, *bounds])
    page = await bus.request(
        LIST_JOBS,
        ListJobs(
            limit=limit,
            before=cursors.decode(key, cursor, tenant=tenant, filters=filters) if cursor is not None else None,
            states=tuple(state for state in JobState if STATUS_OF_STATE[state] is status),
            workflow=workflow,
            label=label,
            created_after=created_after,
            created_before=created_before,
        ),
        tenant=tenant,
    )
    if not page.more or not page.jobs:
        return page.jobs, None
    return page.jobs, cursors.encode(key, tenant=tenant, filters=filters, before=page.jobs[-1].job_id)
