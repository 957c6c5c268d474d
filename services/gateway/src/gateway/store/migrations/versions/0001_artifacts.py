"""The artifacts table."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "artifacts",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("tenant_id", sa.Uuid, nullable=False),
        sa.Column("job_id", sa.Uuid, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("key", sa.Text, nullable=False, comment="where the bytes lie in the artifact store"),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_artifacts")),
        sa.CheckConstraint("size_bytes >= 0", name=op.f("ck_artifacts_size_is_not_negative")),
        sa.CheckConstraint("length(sha256) = 64", name=op.f("ck_artifacts_sha256_is_hex")),
        comment="Written after the bytes are durable, read for every download, kept as long as the bytes.",
    )
    op.create_index("ix_artifacts_tenant_id_job_id", "artifacts", ["tenant_id", "job_id"])


def downgrade() -> None:
    op.drop_table("artifacts")
