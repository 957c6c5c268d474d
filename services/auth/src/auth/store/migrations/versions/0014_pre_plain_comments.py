"""Say in plain words what tables and columns contain.

Revision ID: 0014
"""

from alembic import op

revision = "0014"
down_revision = "0013"
oldest_code = "0009"

# table, column or None for the table itself, new comment, previous comment
COMMENTS = (
    (
        "quota_groups",
        None,
        "Accounts that register from one address within a certain time join the same group.",
        "The group that accounts join which register from an address, while it is young enough.",
    ),
    (
        "key_requests",
        None,
        "The API key that was created with an Idempotency-Key, kept for 24 hours.",
        "Which key an Idempotency-Key made, for 24 hours.",
    ),
    (
        "sessions",
        None,
        "One login, and the refresh tokens that were issued for it.",
        "One login and every refresh token that came of it: a family.",
    ),
    (
        "login_links",
        None,
        "Unused login links. A link is deleted when it is used, or a day after it has expired.",
        "Each is deleted by the login that uses it, or a day after it expired.",
    ),
    (
        "ws_tickets",
        None,
        "Unused tickets. A ticket is deleted when it opens a websocket, or 30 seconds after its creation.",
        "Each is deleted by the websocket that it opens, or after its 30 seconds.",
    ),
    (
        "erasures",
        None,
        "Erased accounts, kept forever: a service that was stopped or restored from a backup reads all of them.",
        "Accounts that are no more, for good: who was away, or comes from a backup, reads them all.",
    ),
    (
        "signing_keys",
        None,
        "The newest key whose signs_from has passed signs. Older keys verify until their last token has expired.",
        "The youngest whose time has come signs; older ones verify until their last token has expired.",
    ),
    (
        "changes",
        None,
        "Changes of users, kept for a day, so that services that missed the message can read them.",
        "What doors must hear of: read back by those that missed it, kept for a day.",
    ),
    (
        "audit_log",
        None,
        "Append-only: triggers refuse UPDATE, TRUNCATE, and DELETE of entries without an archive. No foreign keys.",
        "Append-only: triggers refuse UPDATE, TRUNCATE and DELETE of what is in no archive. No foreign keys.",
    ),
    ("tiers", "images_per_day", "null: unlimited, also in the following columns", "null: unlimited, here and below"),
    ("tiers", "result_days", "how long an ended job is kept", "an ended job is kept for so long"),
    (
        "tiers",
        "upload_days",
        "how long an upload that no job uses is kept",
        "an upload that no job uses is kept for so long",
    ),
    ("tiers", "graph_pixels", "pixels of one image times its batch size", "of one image times its batch"),
    ("tiers", "run_seconds", "run time of one attempt", "of one attempt"),
    ("tiers", "result_bytes", "total size of the stored outputs", "stored at the same time"),
    (
        "tiers",
        "upload_bytes",
        "size of one uploaded file that is not an image",
        "of one uploaded file that is no image",
    ),
    (
        "tiers",
        "start_seconds",
        "how long a job may wait for its first attempt",
        "a job may wait for its first attempt for so long",
    ),
    ("invites", "created_by", "the admin who created it", "the admin who made it"),
    (
        "invites",
        "used_by",
        "the account that was created with it; null while it is unused",
        "the account that it made; null while it can be used",
    ),
    (
        "users",
        "limits",
        "the user's own limits by name; they override those of the tier",
        "own limits of this user, by name, over the tier's",
    ),
    ("users", "version", "increases with every published change", "grows with every change that is told"),
    ("users", "tokens_from", "access tokens of a lower version are invalid", "tokens of a lower version are void"),
    ("users", "failed_logins", "consecutive failed logins", "one after another"),
    ("users", "failed_login_at", "time of the last failed login", "the last of them"),
    (
        "users",
        "erased_at",
        "when the account was erased; since then the row has only the id",
        "then nothing is left here but the id",
    ),
    (
        "api_keys",
        "last_used_at",
        "updated now and then, not at every use",
        "as the doors tell now and then, not at every use",
    ),
    ("key_requests", "request_hash", "SHA-256 of the request", "SHA-256 of what was asked"),
    (
        "key_requests",
        "salt",
        "derives the secret again, together with the pepper; deleted after a day",
        "with the pepper it gives the secret again; gone after a day",
    ),
    ("sessions", "generation", "generation of the refresh tokens that are valid", "of the refresh tokens that work"),
    ("sessions", "expires_at", "end of the session, however often it is refreshed", "however often it is refreshed"),
    (
        "ws_tickets",
        "key_id",
        "the API key that requested the ticket, or else the session",
        "the credential that asked for it: a key, or else a session",
    ),
    (
        "ws_tickets",
        "origin",
        "origin of the pages that may use it; null: no page may use it",
        "of the pages that may use it; null: it is for no page",
    ),
    (
        "signing_keys",
        "signs_from",
        "services know the public key before this time",
        "verifiers know it before it signs",
    ),
    ("audit_log", "subject_id", "the account that the action is about", "whose account it is about"),
    ("audit_log", "actor_id", "who did it; null if unknown", "who did it; null where nobody is known"),
    ("audit_log", "hash", "SHA-256 of the previous hash and this row", "SHA-256 over the row before and this one"),
    (
        "audit_archives",
        "last_hash",
        "hash of that entry; the next entry is chained to it",
        "of that entry: the chain goes on from it",
    ),
)


def upgrade() -> None:
    for table, column, comment, _ in COMMENTS:
        _set_comment(table, column, comment)


def downgrade() -> None:
    for table, column, _, previous in COMMENTS:
        _set_comment(table, column, previous)


def _set_comment(table: str, column: str | None, comment: str) -> None:
    target = f"COLUMN {table}.{column}" if column else f"TABLE {table}"
    text = comment.replace("'", "''")
    op.execute(f"COMMENT ON {target} IS '{text}'")
