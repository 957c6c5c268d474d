"""Jobs that are gone.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "purged_jobs",
        sa.Column("job_id", sa.Uuid, primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now(), index=True),
        comment="Of whom no event is kept any more, however late it comes.",
    )


def downgrade() -> None:
    op.drop_table("purged_jobs")
