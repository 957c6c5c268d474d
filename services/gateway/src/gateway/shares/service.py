"""Shares jobs with the other users of the fleet."""

import hashlib
import re
import secrets
from datetime import UTC, datetime, timedelta
from uuid import UUID

from contracts.scheduler.jobs import UnknownJob
from contracts.wire.errors import Refusal
from gateway.jobs.history import JobHistory, JobWithGraph
from gateway.jobs.service import JobService, parse_job_id
from gateway.shares.errors import UnknownShare
from gateway.shares.store import ShareStore

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class JobShares:
    def __init__(self, shares: ShareStore, jobs: JobService, history: JobHistory) -> None:
        self._shares, self._jobs, self._history = shares, jobs, history

    async def share_job(self, text: str, *, tenant: str, lifetime: timedelta) -> tuple[str, datetime]:
        """Share a job and return the token and when it expires. The token of an earlier share stops working.

        Raises:
            UnknownJob: the tenant has no such job.
        """
        job = await self._jobs.read_job(text, tenant=tenant)
        token, expires_at = secrets.token_urlsafe(32), datetime.now(UTC) + lifetime
        await self._shares.save(UUID(tenant), job.job_id, token_sha256=_hash_token(token), expires_at=expires_at)
        return token, expires_at

    async def read_expiry(self, text: str, *, tenant: str) -> datetime:
        """Return when the share of a job expires.

        Raises:
            UnknownShare: the tenant has no such job, or it is not shared.
        """
        found = await self._shares.find_expiry(UUID(tenant), _parse_shared_job_id(text))
        if found is None:
            raise UnknownShare
        return found

    async def end_share(self, text: str, *, tenant: str) -> None:
        """Revoke the share of a job.

        Raises:
            UnknownShare: the tenant has no such job, or it is not shared.
        """
        if not await self._shares.delete(UUID(tenant), _parse_shared_job_id(text)):
            raise UnknownShare

    async def read_shared_job(self, token: str) -> tuple[JobWithGraph, datetime]:
        """Return the job that a token shares, and when the share expires.

        Raises:
            UnknownShare: the token is unknown, was revoked or has expired, or the job was deleted.
        """
        share = await self._shares.find_by_token(_hash_token(token)) if _TOKEN.fullmatch(token) else None
        if share is None:
            raise UnknownShare
        try:
            found = await self._history.read_job_with_graph(str(share.job_id), tenant=str(share.tenant_id))
        except Refusal as refusal:
            if refusal.refused.code == UnknownJob.code:
                raise UnknownShare from None
            raise
        return found, share.expires_at


def _hash_token(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _parse_shared_job_id(text: str) -> UUID:
    try:
        return parse_job_id(text)
    except UnknownJob:
        raise UnknownShare from None
