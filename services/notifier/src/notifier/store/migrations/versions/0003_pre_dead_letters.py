"""Messages of streams that could not be handled.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("consumer", sa.Text(), nullable=False, comment="the durable consumer that could not handle it"),
        sa.Column("sequence", sa.BigInteger(), nullable=False, comment="number of the message in the stream"),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False, comment="when the stream stored it"),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), comment="from the subject"),
        sa.Column("job_id", sa.Uuid(), comment="from the subject"),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, comment="of the last failure"),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="deliveries and redrives"),
        sa.Column("first_failed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_failed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("excerpt", sa.LargeBinary(), nullable=False, comment="the first 16 KiB of the message"),
        sa.Column(
            "payload",
            sa.LargeBinary(),
            comment="the whole message, to be handled again; null if it was too large",
        ),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False, comment="of the whole message"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letters")),
        sa.UniqueConstraint(
            "consumer",
            "stream",
            "sequence",
            "published_at",
            name=op.f("uq_dead_letters_consumer_stream_sequence_published_at"),
        ),
        comment="Messages of streams that could not be handled. Deleted when handled, or after 14 days.",
    )
    op.create_index("ix_dead_letters_at", "dead_letters", ["at"])
    op.create_index("ix_dead_letters_job_id", "dead_letters", ["job_id"])
    op.create_index("ix_dead_letters_tenant_id", "dead_letters", ["tenant_id"])


def downgrade() -> None:
    op.drop_table("dead_letters")
