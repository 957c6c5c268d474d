"""Searches over jobs of all users, the audit log and dead letters. A cursor is valid for one admin and one filter."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from chassis.messaging.bus import Bus
from contracts.auth.audit import READ_AUDIT, AuditEntry, ReadAudit
from contracts.scheduler.jobs import STATUS_OF_STATE, JobState, JobStatus
from contracts.scheduler.search import SEARCH_JOBS, AdminJob, SearchJobs
from contracts.wire.dead_letters import DeadLetter, ListDeadLetters
from gateway.admin.dead_letters import AllDeadLetters
from gateway.admin.operations import AdminActions, AdminContext
from gateway.api.v1 import cursors
from gateway.signing.keys import SigningKeys


class AdminSearch:
    """Searches for admins, and records each search."""

    def __init__(
        self, bus: Bus, operations: AdminActions, dead_letters: AllDeadLetters, *, cursor_keys: SigningKeys
    ) -> None:
        self._bus, self._operations, self._dead_letters = bus, operations, dead_letters
        self._keys = cursor_keys

    async def search_jobs(
        self, admin: AdminContext, *, limit: int, cursor: str | None, status: JobStatus | None, **criteria: Any
    ) -> tuple[tuple[AdminJob, ...], str | None]:
        """Return a page of jobs, newest first, and the cursor of the next page.

        Raises:
            BadCursor: the cursor was made for another admin or filter.
        """
        shown_criteria = _format_criteria(criteria | {"status": status})
        filters, before = self._build_filters_and_start(admin, "jobs", shown_criteria, cursor)
        await self._operations.record_action(admin, "jobs.search", subject_id=criteria["tenant_id"], **shown_criteria)
        states = tuple(state for state in JobState if STATUS_OF_STATE[state] is status)
        query = SearchJobs(limit=limit, before=before, states=states, **criteria)
        page = await self._bus.request(SEARCH_JOBS, query, tenant=admin.tenant)
        last = page.jobs[-1].job.job_id if page.more and page.jobs else None
        return page.jobs, self._next_cursor(admin, filters, last)

    async def search_audit_log(
        self, admin: AdminContext, *, limit: int, cursor: str | None, **criteria: Any
    ) -> tuple[tuple[AuditEntry, ...], str | None]:
        """Return a page of the audit log, newest first, and the cursor of the next page. Auth itself records it.

        Raises:
            BadCursor: the cursor was made for another admin or filter.
        """
        filters, before = self._build_filters_and_start(admin, "audit", _format_criteria(criteria), cursor)
        query = ReadAudit(limit=limit, before_id=before.int if before else None, **criteria)
        page = await self._bus.request(READ_AUDIT, query, tenant=admin.tenant)
        last = UUID(int=page.entries[-1].id) if page.more and page.entries else None
        return page.entries, self._next_cursor(admin, filters, last)

    async def list_dead_letters(
        self, admin: AdminContext, *, limit: int, cursor: str | None, service: str | None, node: str | None
    ) -> tuple[tuple[DeadLetter, ...], str | None]:
        """Return a page of dead letters, newest first, and the cursor of the next page.

        Raises:
            BadCursor: the cursor was made for another admin or filter.
        """
        shown_criteria = _format_criteria({"service": service, "node": node})
        filters, before = self._build_filters_and_start(admin, "dead_letters", shown_criteria, cursor)
        await self._operations.record_action(admin, "dead_letters.list", subject_id=None, **shown_criteria)
        query = ListDeadLetters(limit=limit, before=before, node=node)
        page = await self._dead_letters.list_page(query, tenant=admin.tenant, service=service)
        last = page.letters[-1].id if page.more and page.letters else None
        return page.letters, self._next_cursor(admin, filters, last)

    def _build_filters_and_start(
        self, admin: AdminContext, list_name: str, shown_criteria: dict[str, str], cursor: str | None
    ) -> tuple[str, UUID | None]:
        filters = json.dumps([list_name, shown_criteria], sort_keys=True)
        before = None if cursor is None else cursors.decode(self._keys, cursor, tenant=admin.tenant, filters=filters)
        return filters, before

    def _next_cursor(self, admin: AdminContext, filters: str, last: UUID | None) -> str | None:
        if last is None:
            return None
        return cursors.encode(self._keys, tenant=admin.tenant, filters=filters, before=last)


def _format_criteria(criteria: dict[str, Any]) -> dict[str, str]:
    """Return the filters that are set, as text."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else str(value)
        for name, value in criteria.items()
        if value is not None
    }
