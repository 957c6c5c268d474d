"""Say in plain words what tables and columns contain.

Revision ID: 0004
"""

from alembic import op

revision = "0004"
down_revision = "0003"
oldest_code = "0003"

# table, column or None for the table itself, new comment, previous comment
COMMENTS = (
    (
        "job_events",
        None,
        "Events of jobs from the event stream, kept for days. The primary key drops duplicates.",
        "Written from the event stream, the key is the inbox; read for replay; kept for days.",
    ),
    (
        "purged_jobs",
        None,
        "Purged jobs: late events of them are not stored.",
        "Of whom no event is kept any more, however late it comes.",
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
