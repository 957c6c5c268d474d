"""When another job was first preferred to a queued job, because its models were loaded.

Revision ID: 0022
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
oldest_code = "0016"


def upgrade() -> None:
    op.add_column(
        "jobs",
        sa.Column(
            "passed_over_at",
            sa.DateTime(timezone=True),
            comment="another job was first preferred when it was its turn",
        ),
    )


def downgrade() -> None:
    op.drop_column("jobs", "passed_over_at")
