"""Say in plain words what tables and columns contain.

Revision ID: 0012
"""

from alembic import op

revision = "0012"
down_revision = "0011"
oldest_code = "0010"

# table, column or None for the table itself, new comment, previous comment
COMMENTS = (
    (
        "purged_jobs",
        None,
        "Purged jobs: late messages about them are ignored. Kept longer than any message can take.",
        "Of whom nothing is taken any more; kept for longer than anything of theirs can be on its way.",
    ),
    (
        "rate_buckets",
        None,
        "Updated often and in place: no other index, and free space on each page. If lost, all buckets are full.",
        "Written often and in place: no further index, and room on each page. May be lost: all start full.",
    ),
    (
        "workflows",
        None,
        "Each version is written once. A workflow is deleted with all its versions.",
        "Each version is written once; a workflow is deleted whole.",
    ),
    (
        "uploads",
        None,
        "A row is written after its bytes are durable, and deleted before its bytes.",
        "Written after the bytes are durable, deleted before they go.",
    ),
    (
        "upload_uses",
        None,
        "Jobs that use an upload. Written before the job is submitted; the upload is kept until the job has ended.",
        "Which jobs use an upload. Written before the job is submitted; until it has ended, the upload stays.",
    ),
    (
        "usage_batches",
        None,
        "Batches that were added to usage_requests, so that none is added twice. Deleted after an hour.",
        "What was added to usage_requests, so that nothing is added twice; forgotten after an hour.",
    ),
    ("artifacts", "key", "key of the object in the artifact store", "where the bytes lie in the artifact store"),
    ("uploads", "key", "key of the object in the artifact store", "where the bytes lie in the artifact store"),
    ("artifact_store", "single", "ensures that there is at most one row", "there is one row at most"),
    ("artifact_store", "store_id", "id in the store's marker", "the store's marker has the same"),
    (
        "artifact_store",
        "confirmed_at",
        "when store and database last agreed; copied to the marker, so that a restored database is recognized",
        "when both last agreed; copied to the marker, so that a restored database is recognized",
    ),
    (
        "artifact_store",
        "reported_at",
        "time of the last report of a sweep; null without one",
        "of the last sweep's report; null without one",
    ),
    ("artifact_store", "orphans", "old objects without a record", "old ones of them without a record"),
    (
        "artifact_store",
        "approved",
        "number of orphans that an admin allows the next sweep to delete",
        "orphans that an admin allowed the next sweep to delete",
    ),
    ("rate_buckets", "key", "endpoint class, colon, client", "endpoint class, colon, whose"),
    ("rate_buckets", "tokens", "tokens that were left at that time", "that were left at that time"),
    (
        "rate_buckets",
        "taken",
        "tokens that the last statement took; only its RETURNING reads it",
        "by the last draw; only its own RETURNING reads it",
    ),
    (
        "workflows",
        "graph",
        "JSON as it was sent: jsonb would reorder its keys",
        "JSON as it was sent: jsonb would turn its keys about",
    ),
    (
        "workflows",
        "parameters",
        "JSON: what each parameter sets, and its valid values",
        "JSON: name to what it sets and may be",
    ),
    ("workflows", "digest", "SHA-256 of the content, hex", "SHA-256 of all that was sent, hex"),
    ("job_shares", "token_sha256", "SHA-256 of the token, hex", "hex"),
    (
        "uploads",
        "sent_sha256",
        'SHA-256 of the bytes as sent and of the option "exact", hex',
        "of the bytes as they were sent and how, hex",
    ),
    ("uploads", "sha256", "SHA-256 of the stored bytes, hex", "of the bytes that are kept, hex"),
    (
        "uploads",
        "source_job_id",
        "of a copy of an output: the job that produced it",
        "of a copy of an output: the job that made it",
    ),
    (
        "upload_uses",
        "ended_at",
        "when the sweep found that the job had ended",
        "when it was seen that the job had ended",
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
