"""Uploads, and which jobs use them."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from uuid import UUID

from chassis.database.postgres import Database
from chassis.database.statement import Connection, Row, Statement
from gateway.uploads.errors import TooManyUploads, UnknownUpload


@dataclass(frozen=True, slots=True)
class NewUpload:
    """A stored file that is to be recorded. SHA-256 are hex.

    Attributes:
        sent_sha256: SHA-256 of the sent bytes; an upload of the tenant with the same value is the same upload.
        width, height: size of an image in pixels.
        exact: the stored bytes are the sent ones, and were never decoded.
        source_job_id: the job that made the output of which this is a copy; None for other uploads. Copies are not
            listed and not counted, and are deleted once that job is purged and no other job uses them.
    """

    id: UUID
    tenant_id: UUID
    sent_sha256: str
    sha256: str
    key: str
    content_type: str
    size_bytes: int
    width: int | None
    height: int | None
    exact: bool
    source_job_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload. It is kept until ``expires_at``, or longer while a job uses it; None: for ever.

    ``key`` is its key in the artifact store; ``sha256`` (hex) and ``size_bytes`` are those of the stored file.
    ``width`` and ``height``: size of an image in pixels. ``exact``: never decoded, so its bytes can be anything that a
    tenant sent or a job made.
    """

    id: UUID
    tenant_id: UUID
    sha256: str
    key: str
    content_type: str
    size_bytes: int
    width: int | None
    height: int | None
    exact: bool
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class UploadUse:
    """A job that uses an upload and is not known to have ended. ``since``: time since it pinned the upload."""

    job_id: UUID
    since: timedelta


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Limits of one tenant."""

    files: int
    bytes: int


_COLUMNS = "id, tenant_id, sha256, key, content_type, size_bytes, width, height, exact, created_at, expires_at"
# Serializes additions of one tenant, so that limits hold and the same bytes are one upload.
_LOCK = Statement("SELECT pg_advisory_xact_lock(hashtextextended('uploads ' || :tenant_id::uuid, 0))")
# NULL means never. The CASE is needed because greatest() ignores NULL.
_REFRESH = Statement(f"""
UPDATE uploads SET expires_at =
    CASE WHEN expires_at IS NOT NULL AND :retention::interval IS NOT NULL
        THEN greatest(expires_at, now() + :retention) END
WHERE tenant_id = :tenant_id AND sent_sha256 = :sent_sha256 RETURNING {_COLUMNS}
""")  # noqa: S608 - constants only
_TOTALS = Statement("""
SELECT count(*) AS files, coalesce(sum(size_bytes), 0)::bigint AS bytes FROM uploads
WHERE tenant_id = :tenant_id AND source_job_id IS NULL
""")
_ADD = Statement(f"""
INSERT INTO uploads (id, tenant_id, sent_sha256, sha256, key, content_type, size_bytes, width, height, exact,
                     source_job_id, expires_at)
VALUES (:id, :tenant_id, :sent_sha256, :sha256, :key, :content_type, :size_bytes, :width, :height, :exact,
        :source_job_id, now() + :retention::interval)
RETURNING {_COLUMNS}
""")  # noqa: S608 - constants only
_FIND = Statement(f"SELECT {_COLUMNS} FROM uploads WHERE tenant_id = :tenant_id AND id = ANY(:ids::uuid[])")  # noqa: S608 - constants only
_PAGE = Statement(f"""
SELECT {_COLUMNS} FROM uploads
WHERE tenant_id = :tenant_id AND source_job_id IS NULL AND (:before::uuid IS NULL OR id < :before)
ORDER BY id DESC LIMIT :limit
""")  # noqa: S608 - constants only
# Conflicts with the row lock of a deletion; ordered, so that two pins cannot deadlock.
_LOCK_FOR_PIN = Statement("""
SELECT id FROM uploads WHERE tenant_id = :tenant_id AND id = ANY(:ids::uuid[]) ORDER BY id FOR KEY SHARE
""")
_PIN = Statement("""
INSERT INTO upload_uses (upload_id, job_id) SELECT unnest(:ids::uuid[]), :job_id ON CONFLICT DO NOTHING
""")
_COPY_PINS = Statement("""
INSERT INTO upload_uses (upload_id, job_id)
SELECT id, :new_job_id FROM uploads
WHERE tenant_id = :tenant_id AND id IN (SELECT upload_id FROM upload_uses WHERE job_id = :job_id)
ORDER BY id FOR KEY SHARE ON CONFLICT DO NOTHING
""")
_PINNED = Statement(f"""
SELECT {_COLUMNS} FROM uploads
WHERE tenant_id = :tenant_id AND id IN (SELECT upload_id FROM upload_uses WHERE job_id = :job_id) ORDER BY id
""")  # noqa: S608 - our own columns
_LOCK_FOR_DELETION = Statement("SELECT key FROM uploads WHERE tenant_id = :tenant_id AND id = :id FOR UPDATE")
_USES = Statement("""
SELECT job_id, now() - pinned_at AS since FROM upload_uses WHERE upload_id = :id AND ended_at IS NULL ORDER BY job_id
""")
_DELETE = Statement("DELETE FROM uploads WHERE id = :id")
_UNPIN = Statement("UPDATE upload_uses SET ended_at = now() WHERE job_id = ANY(:job_ids::uuid[]) AND ended_at IS NULL")


class UploadStore:
    """The tables of uploads. Every statement is limited to one tenant."""

    def __init__(self, database: Database, limits: UploadLimits) -> None:
        self._database, self._limits = database, limits

    async def find_and_extend(self, tenant_id: str, sent_sha256: str, retention: timedelta | None) -> Upload | None:
        """Return the upload of the same sent bytes, kept for at least ``retention`` from now (None: for ever).

        Return None if there is none.
        """
        async with self._database.connection() as connection:
            row = await _REFRESH.fetch_first(
                connection, tenant_id=UUID(tenant_id), sent_sha256=sent_sha256, retention=retention
            )
        return Upload(**row) if row else None

    async def add_or_extend(self, new: NewUpload, retention: timedelta | None) -> tuple[Upload, bool]:
        """Record an upload, or extend the existing one of the same bytes. Return it, and whether it is new.

        Raises:
            TooManyUploads: the tenant has too many uploads.
        """
        async with self._database.transaction() as connection:
            await _LOCK.execute(connection, tenant_id=new.tenant_id)
            existing = await _REFRESH.fetch_first(
                connection, tenant_id=new.tenant_id, sent_sha256=new.sent_sha256, retention=retention
            )
            if existing is not None:
                return Upload(**existing), False
            if new.source_job_id is None:
                await self._check_limits(connection, new.tenant_id, size_bytes=new.size_bytes)
            row = await _ADD.fetch_first(connection, retention=retention, **asdict(new))
        return Upload(**_require_row(row)), True

    async def check_limits(self, tenant_id: str) -> None:
        """Refuse early what ``add_or_extend`` would refuse for a file of any size.

        Raises:
            TooManyUploads: the tenant has too many uploads.
        """
        async with self._database.connection() as connection:
            await self._check_limits(connection, UUID(tenant_id), size_bytes=0)

    async def _check_limits(self, connection: Connection, tenant_id: UUID, *, size_bytes: int) -> None:
        totals = _require_row(await _TOTALS.fetch_first(connection, tenant_id=tenant_id))
        if totals["files"] >= self._limits.files or totals["bytes"] + size_bytes > self._limits.bytes:
            raise TooManyUploads(files=self._limits.files, bytes=self._limits.bytes)

    async def find_uploads(self, tenant_id: str, ids: Collection[UUID]) -> dict[UUID, Upload]:
        """Return the uploads that belong to the tenant."""
        async with self._database.connection() as connection:
            rows = await _FIND.fetch_all(connection, tenant_id=UUID(tenant_id), ids=list(ids))
        return {row["id"]: Upload(**row) for row in rows}

    async def list_newest(self, tenant_id: str, *, before: UUID | None, limit: int) -> list[Upload]:
        """Return the tenant's uploads, newest first, after ``before``."""
        async with self._database.connection() as connection:
            rows = await _PAGE.fetch_all(connection, tenant_id=UUID(tenant_id), before=before, limit=limit)
        return [Upload(**row) for row in rows]

    async def pin(self, tenant_id: str, ids: Collection[UUID], job_id: UUID) -> None:
        """Keep these uploads until the job has ended. Call this before the job is submitted.

        Committed when it returns. If the job is never submitted, the pins expire.

        Raises:
            UnknownUpload: one of the uploads does not exist; none is pinned.
        """
        upload_ids = sorted(set(ids))
        if not upload_ids:
            return
        async with self._database.transaction() as connection:
            locked = await _LOCK_FOR_PIN.fetch_all(connection, tenant_id=UUID(tenant_id), ids=upload_ids)
            if len(locked) < len(upload_ids):
                raise UnknownUpload
            await _PIN.execute(connection, ids=upload_ids, job_id=job_id)

    async def copy_pins(self, tenant_id: str, job_id: UUID, new_job_id: UUID) -> None:
        """Pin the remaining uploads of a job for the job that runs it again."""
        async with self._database.connection() as connection:
            await _COPY_PINS.execute(connection, tenant_id=UUID(tenant_id), job_id=job_id, new_job_id=new_job_id)

    async def find_pinned_uploads(self, tenant_id: str, job_id: UUID) -> list[Upload]:
        """Return the uploads of the tenant that the job uses."""
        async with self._database.connection() as connection:
            rows = await _PINNED.fetch_all(connection, tenant_id=UUID(tenant_id), job_id=job_id)
        return [Upload(**row) for row in rows]

    async def unpin(self, job_ids: Collection[UUID]) -> None:
        """Unpin the uploads of jobs that have ended or were not submitted."""
        async with self._database.connection() as connection:
            await _UNPIN.execute(connection, job_ids=list(job_ids))

    async def delete_unless_used(self, tenant_id: str, upload_id: UUID) -> str | list[UploadUse]:
        """Delete the row and return the file's key. If jobs use the upload, return these uses instead.

        Raises:
            UnknownUpload: the tenant has no such upload.
        """
        async with self._database.transaction() as connection:
            key = await _LOCK_FOR_DELETION.fetch_value(connection, tenant_id=UUID(tenant_id), id=upload_id)
            if key is None:
                raise UnknownUpload
            uses = await _USES.fetch_all(connection, id=upload_id)
            if uses:
                return [UploadUse(**use) for use in uses]
            await _DELETE.execute(connection, id=upload_id)
        return str(key)


def _require_row(row: Row | None) -> Row:
    assert row is not None  # noqa: S101 - the statement returns a row
    return row
