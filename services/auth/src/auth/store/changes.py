"""What doors must hear of: written with the change itself, read back by those that missed it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from auth.store.users import COLUMNS, user_of
from chassis.database.statement import Connection, Statement
from contracts.auth import UserChanged

BATCH = 1000  # of less than a kilobyte each: an answer stays below NATS's limit of 1 MiB

_BUMP = Statement(f"""
UPDATE users u
SET version = u.version + 1, tokens_from = CASE WHEN :void_tokens THEN u.version + 1 ELSE u.tokens_from END
FROM tiers t WHERE u.id = :id AND t.name = u.tier
RETURNING {COLUMNS}, clock_timestamp() AS at
""")  # noqa: S608 - constants only
_WRITE = Statement("INSERT INTO changes (user_id, body, at) VALUES (:user_id, :body, :at)")
_READ = Statement("""
SELECT body, at FROM changes
WHERE at >= coalesce(:since, now() - interval '1 hour') ORDER BY at, id LIMIT :limit
""")
_NOW = Statement("SELECT now()")
# Longer than any access token and any copy of a principal at a door lives.
_PRUNE = Statement("DELETE FROM changes WHERE at < now() - interval '1 day'")


@dataclass(frozen=True, slots=True)
class Read:
    """What was found, and from when to ask on."""

    users: tuple[UserChanged, ...]
    now: datetime


async def change(
    connection: Connection,
    user_id: UUID,
    *,
    void_tokens: bool = False,
    ended_session: UUID | None = None,
    revoked_key: str | None = None,
) -> UserChanged:
    """Give a user its next version, under its lock, and write how it stands now. To be announced after the commit.

    What else changes about the user is written before, in the same transaction. Versions have no gap.

    Args:
        void_tokens: no access token that was made before counts any more.
        ended_session: no access token of that session counts any more.
        revoked_key: that API key does not count any more.

    Raises:
        LookupError: there is no such user.
    """
    row = await _BUMP.first(connection, id=user_id, void_tokens=void_tokens)
    if row is None:
        raise LookupError(user_id)
    said = user_of(row).changed(row["at"], ended_session=ended_session, revoked_key=revoked_key)
    await _WRITE.run(connection, user_id=user_id, body=said.model_dump_json(), at=row["at"])
    return said


async def read(connection: Connection, since: datetime | None) -> Read:
    """Changes from that time on, or of the last hour, oldest first; at most ``BATCH``, then ``now`` is where to go on.

    That is when the last of them happened, which comes again: others may have happened at the same moment.
    """
    now: datetime = await _NOW.value(connection)
    rows = await _READ.all(connection, since=since, limit=BATCH)
    return Read(
        users=tuple(UserChanged.model_validate(row["body"]) for row in rows),
        now=rows[-1]["at"] if len(rows) == BATCH else now,
    )


async def prune(connection: Connection) -> None:
    """Forget what everybody has heard by now."""
    await _PRUNE.run(connection)
