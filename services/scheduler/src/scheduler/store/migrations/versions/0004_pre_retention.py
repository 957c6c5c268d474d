"""Add the retention of ended jobs, and the idempotency keys of purged jobs.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("tenants", sa.Column("result_days", sa.Integer(), comment="an ended job is kept for so long"))
    op.create_index(
        "ix_jobs_ended", "jobs", ["tenant_id", "completed_at"], postgresql_where=sa.text("completed_at IS NOT NULL")
    )
    op.create_table(
        "spent_keys",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "idempotency_key", name=op.f("pk_spent_keys")),
    )
    op.create_index("ix_spent_keys_expires_at", "spent_keys", ["expires_at"])


def downgrade() -> None:
    op.drop_table("spent_keys")
    op.drop_index("ix_jobs_ended", table_name="jobs")
    op.drop_column("tenants", "result_days")
