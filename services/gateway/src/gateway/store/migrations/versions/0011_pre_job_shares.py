"""Shares of jobs inside the fleet.

Revision ID: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
oldest_code = "0010"


def upgrade() -> None:
    op.create_table(
        "job_shares",
        sa.Column("tenant_id", sa.Uuid, primary_key=True, comment="owner of the job"),
        sa.Column("job_id", sa.Uuid, primary_key=True),
        sa.Column("token_sha256", sa.Text, nullable=False, unique=True, comment="hex"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("length(token_sha256) = 64", name="token_sha256_is_hex"),
        comment="Jobs that other users of the fleet may read, one row per job.",
    )
    op.create_index("ix_job_shares_job_id", "job_shares", ["job_id"])
    op.create_index("ix_job_shares_expires_at", "job_shares", ["expires_at"])


def downgrade() -> None:
    op.drop_table("job_shares")
