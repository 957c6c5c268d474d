"""The uploads and upload_uses tables."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "uploads",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("tenant_id", sa.Uuid, nullable=False),
        sa.Column("sent_sha256", sa.Text, nullable=False, comment="of the bytes as they were sent, hex"),
        sa.Column("sha256", sa.Text, nullable=False, comment="of the bytes that are kept, hex"),
        sa.Column("key", sa.Text, nullable=False, comment="where the bytes lie in the artifact store"),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
        sa.UniqueConstraint("tenant_id", "sent_sha256", name=op.f("uq_uploads_tenant_id_sent_sha256")),
        sa.CheckConstraint("size_bytes > 0", name=op.f("ck_uploads_size_is_positive")),
        sa.CheckConstraint("length(sha256) = 64", name=op.f("ck_uploads_sha256_is_hex")),
        sa.CheckConstraint("length(sent_sha256) = 64", name=op.f("ck_uploads_sent_sha256_is_hex")),
        comment="Written after the bytes are durable, deleted before they go.",
    )
    op.create_index("ix_uploads_tenant_id_id", "uploads", ["tenant_id", "id"])
    op.create_index("ix_uploads_expires_at_id", "uploads", ["expires_at", "id"])
    op.create_table(
        "upload_uses",
        sa.Column("upload_id", sa.Uuid, nullable=False),
        sa.Column("job_id", sa.Uuid, nullable=False),
        sa.Column("pinned_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column(
            "ended_at", sa.DateTime(timezone=True), nullable=True, comment="when it was seen that the job had ended"
        ),
        sa.PrimaryKeyConstraint("upload_id", "job_id", name=op.f("pk_upload_uses")),
        sa.ForeignKeyConstraint(
            ["upload_id"], ["uploads.id"], name=op.f("fk_upload_uses_upload_id"), ondelete="CASCADE"
        ),
        comment="Which jobs use an upload. Written before the job is submitted; until it has ended, the upload stays.",
    )
    op.create_index("ix_upload_uses_job_id", "upload_uses", ["job_id"])


def downgrade() -> None:
    op.drop_table("upload_uses")
    op.drop_table("uploads")
