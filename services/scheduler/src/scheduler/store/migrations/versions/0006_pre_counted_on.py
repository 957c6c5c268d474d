"""Keep statistics of purged jobs and usage of erased tenants.

Revision ID: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "purged_ends",
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("waited_s", sa.Float(), comment="null: it never started"),
        sa.Column("failure", sa.Text(), comment="its error's code, where it failed or expired"),
    )
    op.create_index("ix_purged_ends_completed_at", "purged_ends", ["completed_at"])
    op.create_table(
        "erased_usage",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("jobs", sa.BigInteger(), nullable=False),
        sa.Column("images", sa.BigInteger(), nullable=False),
        sa.Column("gpu_seconds", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_erased_usage")),
    )


def downgrade() -> None:
    op.drop_table("erased_usage")
    op.drop_table("purged_ends")
