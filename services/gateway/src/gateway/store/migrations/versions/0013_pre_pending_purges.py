"""Record which purged jobs still have data to delete.

Revision ID: 0013
"""

import sqlalchemy as sa
from alembic import op

from chassis.database.migrate import create_index_concurrently

revision = "0013"
down_revision = "0012"
oldest_code = "0010"


def upgrade() -> None:
    # Earlier code deletes a job's data itself, so the rows that it writes are not pending.
    for name, comment in (
        ("with_inputs", "the uploads that only this job used are deleted, too"),
        ("is_pending", "its data is not deleted yet"),
    ):
        column = sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false(), comment=comment)
        op.add_column("purged_jobs", column, if_not_exists=True)
    create_index_concurrently(
        "ix_purged_jobs_pending", "purged_jobs", ["job_id"], postgresql_where=sa.text("is_pending")
    )


def downgrade() -> None:
    op.drop_index("ix_purged_jobs_pending", "purged_jobs")
    op.drop_column("purged_jobs", "is_pending")
    op.drop_column("purged_jobs", "with_inputs")
