"""Shares of jobs. A job has at most one; the token itself is not stored."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chassis.database.expired_rows import ExpiredRows
from chassis.database.postgres import Database
from chassis.database.statement import Statement

_SAVE = Statement("""
INSERT INTO job_shares (tenant_id, job_id, token_sha256, expires_at)
SELECT :tenant_id, :job_id, :token_sha256, :expires_at
WHERE NOT EXISTS (SELECT 1 FROM purged_jobs WHERE job_id = :job_id)
ON CONFLICT (tenant_id, job_id) DO UPDATE SET
    token_sha256 = excluded.token_sha256, expires_at = excluded.expires_at, created_at = now()
""")
_FIND_EXPIRY = Statement("""
SELECT expires_at FROM job_shares WHERE tenant_id = :tenant_id AND job_id = :job_id AND expires_at > now()
""")
_DELETE = Statement("DELETE FROM job_shares WHERE tenant_id = :tenant_id AND job_id = :job_id RETURNING 1")
_FIND_BY_TOKEN = Statement("""
SELECT tenant_id, job_id, expires_at FROM job_shares WHERE token_sha256 = :token_sha256 AND expires_at > now()
""")
_EXPIRED = ExpiredRows("job_shares", "expires_at < now()")


@dataclass(frozen=True, slots=True)
class Share:
    """A job that its owner shares until ``expires_at``."""

    tenant_id: UUID
    job_id: UUID
    expires_at: datetime


class ShareStore:
    """The job_shares table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, tenant_id: UUID, job_id: UUID, *, token_sha256: str, expires_at: datetime) -> None:
        """Share a job. An earlier share of it ends."""
        async with self._database.connection() as connection:
            await _SAVE.execute(
                connection, tenant_id=tenant_id, job_id=job_id, token_sha256=token_sha256, expires_at=expires_at
            )

    async def find_expiry(self, tenant_id: UUID, job_id: UUID) -> datetime | None:
        """Return when the share of a job expires; None if it is not shared."""
        async with self._database.connection() as connection:
            found: datetime | None = await _FIND_EXPIRY.fetch_value(connection, tenant_id=tenant_id, job_id=job_id)
        return found

    async def delete(self, tenant_id: UUID, job_id: UUID) -> bool:
        """End the share of a job. Return whether it was shared."""
        async with self._database.transaction() as connection:
            return await _DELETE.fetch_value(connection, tenant_id=tenant_id, job_id=job_id) is not None

    async def find_by_token(self, token_sha256: str) -> Share | None:
        """Return the share with this token; None if it has expired or there is none."""
        async with self._database.connection() as connection:
            row = await _FIND_BY_TOKEN.fetch_first(connection, token_sha256=token_sha256)
        return Share(**row) if row else None

    async def prune(self) -> None:
        """Delete expired shares."""
        await _EXPIRED.delete(self._database)
