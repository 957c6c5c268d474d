"""Sessions and their refresh tokens in PostgreSQL."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from auth.domain.refresh_token import SessionSnapshot
from chassis.database.expired_rows import ExpiredRows
from chassis.database.statement import Connection, Statement
from contracts.auth.sessions import SessionRecord


@dataclass(frozen=True, slots=True)
class PresentedToken:
    """A refresh token found by its digest."""

    session_id: UUID
    user_id: UUID
    generation: int


_CREATE = Statement("""
INSERT INTO sessions (id, user_id, expires_at, user_agent, ip)
VALUES (:id, :user_id, now() + CAST(:life AS interval), :user_agent, :ip)
""")
_ADD_TOKEN = Statement("""
INSERT INTO refresh_tokens (digest, session_id, generation) VALUES (:digest, :session_id, :generation)
""")
_FIND = Statement("""
SELECT r.session_id, s.user_id, r.generation
FROM refresh_tokens r JOIN sessions s ON s.id = r.session_id WHERE r.digest = ANY(:digests)
""")
_LOCK = Statement("""
SELECT s.generation, s.rotated_at, s.expires_at, s.ended_at, u.is_active, now() AS now
FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = :id FOR UPDATE OF s
""")
_START_GENERATION = Statement("""
UPDATE sessions SET generation = :generation, rotated_at = now(), user_agent = coalesce(:user_agent, user_agent),
    ip = coalesce(:ip, ip)
WHERE id = :id
""")
_END = Statement("""
UPDATE sessions SET ended_at = now() WHERE id = :id AND user_id = :user_id AND ended_at IS NULL RETURNING 1
""")
_END_OTHERS = Statement("""
UPDATE sessions SET ended_at = now()
WHERE user_id = :user_id AND id IS DISTINCT FROM :kept AND ended_at IS NULL
RETURNING id, rotated_at > now() - CAST(:token_life AS interval) AS has_tokens
""")
_LIST = Statement("""
SELECT id, created_at, rotated_at AS refreshed_at, ended_at, user_agent, ip,
    least(expires_at, rotated_at + CAST(:idle AS interval)) AS expires_at
FROM sessions
WHERE user_id = :user_id AND (NOT :only_active
    OR ended_at IS NULL AND least(expires_at, rotated_at + CAST(:idle AS interval)) > now())
ORDER BY created_at DESC LIMIT :limit
""")
_EXISTS = Statement("SELECT 1 FROM sessions WHERE id = :id AND user_id = :user_id")
# With their refresh tokens. No index: sessions are few, and an index on rotated_at would slow down every refresh.
EXPIRED_SESSIONS = ExpiredRows(
    "sessions", "least(ended_at, expires_at, rotated_at + CAST(:idle AS interval)) < now() - interval '1 day'"
)


async def create_session(
    connection: Connection, session_id: UUID, user_id: UUID, *, life: timedelta, user_agent: str | None, ip: str | None
) -> None:
    """Create a session at generation 1 that ends after its lifetime regardless of refreshes."""
    await _CREATE.execute(connection, id=session_id, user_id=user_id, life=life, user_agent=user_agent, ip=ip)


async def add_refresh_token(connection: Connection, session_id: UUID, digest: bytes, generation: int) -> None:
    """Store the digest of a refresh token."""
    await _ADD_TOKEN.execute(connection, session_id=session_id, digest=digest, generation=generation)


async def find_refresh_token(connection: Connection, digests: list[bytes]) -> PresentedToken | None:
    """Return the token with one of these digests, used or not."""
    row = await _FIND.fetch_first(connection, digests=digests)
    return PresentedToken(**row) if row else None


async def lock_session(connection: Connection, session_id: UUID) -> SessionSnapshot | None:
    """Lock a session until the transaction ends, and return its state; None if there is none. Lock its user first."""
    row = await _LOCK.fetch_first(connection, id=session_id)
    return SessionSnapshot(**row) if row else None


async def start_generation(
    connection: Connection, session_id: UUID, generation: int, *, user_agent: str | None, ip: str | None
) -> None:
    """Start this generation, under the session's lock, and store the client if it is known."""
    await _START_GENERATION.execute(connection, id=session_id, generation=generation, user_agent=user_agent, ip=ip)


async def has_session(connection: Connection, user_id: UUID, session_id: UUID) -> bool:
    """Whether this user has such a session, ended or not."""
    return await _EXISTS.fetch_value(connection, id=session_id, user_id=user_id) is not None


async def list_sessions(
    connection: Connection, user_id: UUID, *, only_active: bool, idle: timedelta, limit: int
) -> tuple[SessionRecord, ...]:
    """Return the stored sessions of a user, newest first."""
    rows = await _LIST.fetch_all(connection, user_id=user_id, only_active=only_active, idle=idle, limit=limit)
    return tuple(SessionRecord(**row) for row in rows)


async def end_session(connection: Connection, session_id: UUID, user_id: UUID) -> bool:
    """End a session of this user; False if it had ended before or belongs to another user."""
    return await _END.fetch_value(connection, id=session_id, user_id=user_id) is not None


async def end_other_sessions(
    connection: Connection, user_id: UUID, *, kept: UUID | None, token_life: timedelta
) -> tuple[int, list[UUID]]:
    """End all sessions of a user but one; returns their number and those that may have valid access tokens."""
    rows = await _END_OTHERS.fetch_all(connection, user_id=user_id, kept=kept, token_life=token_life)
    return len(rows), [row["id"] for row in rows if row["has_tokens"]]
