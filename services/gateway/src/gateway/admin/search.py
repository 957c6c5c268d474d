"""Searches over jobs of all users, the audit log and dead letters. A cursor is valid for one admin and one filter."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from chassis.messaging.bus import Bus
from contracts.auth.audit import READ_AUDIT, AuditEntry, ReadAudit
from contracts.scheduler.dead_letters import LIST_DEAD_LETTERS
from contracts.scheduler.jobs import STATUS_OF_STATE, JobState, JobStatus
from contracts.scheduler.search import SEARCH_JOBS, AdminJob, SearchJobs
from contracts.wire.dead_letters import DeadLetter, ListDeadLetters
from gateway.admin.operations import AdminContext, Operations
from gateway.api.v1 import cursors


class Search:
    """Searches for admins, and records each search."""

    def __init__(self, bus: Bus, operations: Operations, *, cursor_key: bytes) -> None:
        self._bus, self._operations, self._key = bus, operations, cursor_key

    async def jobs(
        self, who: AdminContext, *, limit: int, cursor: str | None, status: JobStatus | None, **asked: Any
    ) -> tuple[tuple[AdminJob, ...], str | None]:
        """A page of jobs, newest first, and the cursor of the next page.

        Raises:
            BadCursor: the cursor was made for another admin or filter.
        """
        told = _told(asked | {"status": status})
        filters, before = self._where(who, "jobs", told, cursor)
        await self._operations.record(who, "jobs.search", subject_id=asked["tenant_id"], **told)
        states = tuple(state for state in JobState if STATUS_OF_STATE[state] is status)
        query = SearchJobs(limit=limit, before=before, states=states, **asked)
        page = await self._bus.request(SEARCH_JOBS, query, tenant=who.tenant)
        last = page.jobs[-1].job.job_id if page.more and page.jobs else None
        return page.jobs, self._next(who, filters, last)

    async def audit(
        self, who: AdminContext, *, limit: int, cursor: str | None, **asked: Any
    ) -> tuple[tuple[AuditEntry, ...], str | None]:
        """A page of the audit log, newest first, and the cursor of the next page. Auth itself records this search.

        Raises:
            BadCursor: the cursor was made for another admin or filter.
        """
        filters, before = self._where(who, "audit", _told(asked), cursor)
        query = ReadAudit(limit=limit, before_id=before.int if before else None, **asked)
        page = await self._bus.request(READ_AUDIT, query, tenant=who.tenant)
        last = UUID(int=page.entries[-1].id) if page.more and page.entries else None
        return page.entries, self._next(who, filters, last)

    async def dead_letters(
        self, who: AdminContext, *, limit: int, cursor: str | None, node: str | None
    ) -> tuple[tuple[DeadLetter, ...], str | None]:
        """A page of dead letters, newest first, and the cursor of the next page.

        Raises:
            BadCursor: the cursor was made for another admin or filter.
        """
        told = _told({"node": node})
        filters, before = self._where(who, "dead_letters", told, cursor)
        await self._operations.record(who, "dead_letters.list", subject_id=None, **told)
        page = await self._bus.request(
            LIST_DEAD_LETTERS, ListDeadLetters(limit=limit, before=before, node=node), tenant=who.tenant
        )
        last = page.letters[-1].id if page.more and page.letters else None
        return page.letters, self._next(who, filters, last)

    def _where(self, who: AdminContext, what: str, told: dict[str, str], cursor: str | None) -> tuple[str, UUID | None]:
        filters = json.dumps([what, told], sort_keys=True)
        before = None if cursor is None else cursors.decode(self._key, cursor, tenant=who.tenant, filters=filters)
        return filters, before

    def _next(self, who: AdminContext, filters: str, last: UUID | None) -> str | None:
        if last is None:
            return None
        return cursors.encode(self._key, tenant=who.tenant, filters=filters, before=last)


def _told(asked: dict[str, Any]) -> dict[str, str]:
    """The filters that are set, as text."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else str(value)
        for name, value in asked.items()
        if value is not None
    }
