"""Add jobs.fail_without_outputs, which a submission chooses.

Revision ID: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column(
        "jobs",
        sa.Column(
            "fail_without_outputs",
            sa.Boolean,
            nullable=False,
            server_default=sa.false(),
            comment="as the submission chose",
        ),
    )


def downgrade() -> None:
    op.drop_column("jobs", "fail_without_outputs")
