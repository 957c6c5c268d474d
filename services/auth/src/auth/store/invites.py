"""Invites in PostgreSQL. The database clock decides whether one has expired."""

from uuid import UUID

from chassis.database.expired_rows import ExpiredRows
from chassis.database.statement import Connection, Row, Statement
from contracts.auth.invites import Invite
from contracts.auth.tiers import Tier

_COLUMNS = "id, tier, created_by, created_at, expires_at, used_by, used_at"
_IS_USABLE = "used_by IS NULL AND expires_at > now()"
_ADD = Statement(f"""
INSERT INTO invites (digest, id, tier, created_by, expires_at)
VALUES (:digest, :id, :tier, :created_by, now() + make_interval(days => :days::int)) RETURNING {_COLUMNS}
""")  # noqa: S608 - constants only
_LIST = Statement(f"""
SELECT {_COLUMNS} FROM invites WHERE :before::uuid IS NULL OR id < :before ORDER BY id DESC LIMIT :limit
""")  # noqa: S608 - constants only
_LOCK = Statement(f"SELECT {_COLUMNS} FROM invites WHERE id = :id FOR UPDATE")  # noqa: S608 - constants only
_FIND_USABLE = Statement(f"SELECT 1 FROM invites WHERE digest = :digest AND {_IS_USABLE}")  # noqa: S608 - constants only
_REDEEM = Statement(f"""
UPDATE invites SET used_by = :used_by, used_at = now() WHERE digest = :digest AND {_IS_USABLE} RETURNING {_COLUMNS}
""")  # noqa: S608 - constants only
_EXPIRE = Statement("""
UPDATE invites SET expires_at = now() WHERE id = :id AND used_by IS NULL AND expires_at > now() RETURNING id
""")
# The audit log keeps who created and used them.
EXPIRED_INVITES = ExpiredRows("invites", "expires_at < now() - interval '90 days'")


async def add_invite(
    connection: Connection, invite_id: UUID, digest: bytes, *, tier: Tier, created_by: UUID, days: int
) -> Invite:
    row = await _ADD.first(connection, id=invite_id, digest=digest, tier=tier, created_by=created_by, days=days)
    assert row is not None  # noqa: S101 - an INSERT that returns nothing has raised
    return _to_invite(row)


async def list_invites(connection: Connection, *, limit: int, before: UUID | None) -> tuple[tuple[Invite, ...], bool]:
    """Return up to ``limit`` invites, newest first, and whether there are more."""
    rows = await _LIST.all(connection, limit=limit + 1, before=before)
    return tuple(map(_to_invite, rows[:limit])), len(rows) > limit


async def lock_invite(connection: Connection, invite_id: UUID) -> Invite | None:
    """Return the invite and lock it until the transaction ends."""
    row = await _LOCK.first(connection, id=invite_id)
    return _to_invite(row) if row else None


async def is_usable(connection: Connection, digest: bytes) -> bool:
    """Whether the invite can be used now."""
    return await _FIND_USABLE.value(connection, digest=digest) is not None


async def redeem_invite(connection: Connection, digest: bytes, *, used_by: UUID) -> Invite | None:
    """Use the invite in this transaction; None when it cannot be used."""
    row = await _REDEEM.first(connection, digest=digest, used_by=used_by)
    return _to_invite(row) if row else None


async def expire_invite(connection: Connection, invite_id: UUID) -> bool:
    """Make the invite expire now; returns whether it could still have been used."""
    return await _EXPIRE.value(connection, id=invite_id) is not None


def _to_invite(row: Row) -> Invite:
    return Invite(**{**row, "tier": Tier(row["tier"])})
