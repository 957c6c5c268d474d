"""Groups of accounts registered from the same address. The address itself is never stored."""

from datetime import timedelta
from uuid import UUID

from chassis.database.expired_rows import ExpiredRows
from chassis.database.statement import Connection, Statement
from chassis.ids import new_id

_JOIN = Statement("""
INSERT INTO quota_groups AS kept (digest, id) VALUES (:digest, :id)
ON CONFLICT (digest) DO UPDATE SET
    id = CASE WHEN kept.began_at > now() - :max_age::interval THEN kept.id ELSE excluded.id END,
    began_at = CASE WHEN kept.began_at > now() - :max_age::interval THEN kept.began_at ELSE now() END
RETURNING id
""")
_REHASH = Statement("""
UPDATE quota_groups SET digest = :digest
WHERE digest = (SELECT digest FROM quota_groups WHERE digest = ANY(:earlier) ORDER BY began_at DESC LIMIT 1)
    AND NOT EXISTS (SELECT 1 FROM quota_groups WHERE digest = :digest)
""")
_ASSIGN = Statement("UPDATE users SET quota_group = :group WHERE id = :user_id")
# Groups that no new account can join; with the row goes the digest of the address.
EXPIRED_GROUPS = ExpiredRows("quota_groups", "began_at <= now() - :max_age::interval")


async def join_quota_group(connection: Connection, user_id: UUID, digests: list[bytes], *, max_age: timedelta) -> UUID:
    """Add a new account to the group created for its address within the last ``max_age``, or to a new group.

    Args:
        digests: the digests of the address. The group is stored under the first one.
    """
    digest, *earlier = digests
    if earlier:
        await _REHASH.execute(connection, digest=digest, earlier=earlier)
    group: UUID = await _JOIN.fetch_value(connection, digest=digest, id=new_id(), max_age=max_age)
    await _ASSIGN.execute(connection, user_id=user_id, group=group)
    return group


async def leave_quota_group(connection: Connection, user_id: UUID) -> None:
    """Remove an account from its group permanently."""
    await _ASSIGN.execute(connection, user_id=user_id, group=None)
