"""User changes, stored in the transaction of the change, for public services that missed the announcement."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from auth.store.users import USER_COLUMNS, build_user
from chassis.database.expired_rows import ExpiredRows
from chassis.database.statement import Connection, Statement
from contracts.auth.changes import UserChanged

MAX_PAGE = 1000  # each under a kilobyte, so a reply stays below NATS's limit of 1 MiB

_INCREMENT_VERSION = Statement(f"""
UPDATE users u
SET version = u.version + 1, tokens_from = CASE WHEN :void_tokens THEN u.version + 1 ELSE u.tokens_from END
FROM tiers t WHERE u.id = :id AND t.name = u.tier
RETURNING {USER_COLUMNS}, clock_timestamp() AS at
""")  # noqa: S608 - constants only
_ADD = Statement("INSERT INTO changes (user_id, body, at) VALUES (:user_id, :body, :at)")
_LIST = Statement("""
SELECT body, at FROM changes
WHERE at >= coalesce(:since, now() - interval '1 hour') ORDER BY at, id LIMIT :limit
""")
_NOW = Statement("SELECT now()")
# Longer than the lifetime of any access token or cached principal.
EXPIRED_CHANGES = ExpiredRows("changes", "at < now() - interval '1 day'")


@dataclass(frozen=True, slots=True)
class ChangePage:
    """A page of changes and the time from which to continue."""

    users: tuple[UserChanged, ...]
    now: datetime


async def record_change(
    connection: Connection,
    user_id: UUID,
    *,
    void_tokens: bool = False,
    ended_session: UUID | None = None,
    revoked_key: str | None = None,
) -> UserChanged:
    """Increment the version of a locked user and store its current state. Announce the result after the commit.

    Write everything else about the user before this call, in the same transaction. Versions have no gaps.

    Args:
        void_tokens: invalidate every earlier access token.
        ended_session: invalidate the access tokens of this session.
        revoked_key: invalidate this API key.

    Raises:
        LookupError: there is no such user.
    """
    row = await _INCREMENT_VERSION.fetch_first(connection, id=user_id, void_tokens=void_tokens)
    if row is None:
        raise LookupError(user_id)
    change = build_user(row).to_change(row["at"], ended_session=ended_session, revoked_key=revoked_key)
    await _ADD.execute(connection, user_id=user_id, body=change.model_dump_json(), at=row["at"])
    return change


async def list_changes(connection: Connection, since: datetime | None) -> ChangePage:
    """Return up to ``MAX_PAGE`` changes since that time (None: in the last hour), oldest first.

    When the page is full, ``now`` is the time of its last change, which is returned again: others may have happened at
    the same moment.
    """
    now: datetime = await _NOW.fetch_value(connection)
    rows = await _LIST.fetch_all(connection, since=since, limit=MAX_PAGE)
    return ChangePage(
        users=tuple(UserChanged.model_validate(row["body"]) for row in rows),
        now=rows[-1]["at"] if len(rows) == MAX_PAGE else now,
    )
