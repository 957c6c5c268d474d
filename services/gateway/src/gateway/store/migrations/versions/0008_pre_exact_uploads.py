"""Uploads of any kind, kept byte for byte; copies of outputs that jobs take as inputs.

Revision ID: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.alter_column("uploads", "width", existing_type=sa.Integer, nullable=True, comment="of an image, pixels")
    op.alter_column("uploads", "height", existing_type=sa.Integer, nullable=True)
    op.alter_column(
        "uploads", "sent_sha256", existing_type=sa.Text, comment="of the bytes as they were sent and how, hex"
    )
    op.add_column(
        "uploads",
        sa.Column(
            "exact",
            sa.Boolean,
            nullable=False,
            server_default=sa.false(),
            comment="the bytes are those that were sent",
        ),
    )
    op.add_column(
        "uploads", sa.Column("source_job_id", sa.Uuid, comment="of a copy of an output: the job that made it")
    )
    op.create_index(
        "ix_uploads_source_job_id",
        "uploads",
        ["source_job_id"],
        postgresql_where=sa.text("source_job_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_uploads_source_job_id", "uploads")
    op.execute("DELETE FROM uploads WHERE width IS NULL OR source_job_id IS NOT NULL")
    op.drop_column("uploads", "source_job_id")
    op.drop_column("uploads", "exact")
    op.alter_column("uploads", "sent_sha256", existing_type=sa.Text, comment="of the bytes as they were sent, hex")
    op.alter_column("uploads", "height", existing_type=sa.Integer, nullable=False)
    op.alter_column("uploads", "width", existing_type=sa.Integer, nullable=False, comment=None)
