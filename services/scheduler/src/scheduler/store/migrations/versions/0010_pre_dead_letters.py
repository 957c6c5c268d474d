"""Create dead_letters: messages of executors that can never be handled.

Revision ID: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text()),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), comment="as the message claims"),
        sa.Column("job_id", sa.Uuid(), comment="as the message claims"),
        sa.Column("code", sa.Text(), nullable=False, comment="of the refusal that it was answered with"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("excerpt", sa.LargeBinary(), nullable=False, comment="the first 16 KiB of the message"),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False, comment="of the whole message"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letters")),
    )
    op.create_index("ix_dead_letters_at", "dead_letters", ["at"])
    op.create_index("ix_dead_letters_job_id", "dead_letters", ["job_id"])
    op.create_index("ix_dead_letters_tenant_id", "dead_letters", ["tenant_id"])


def downgrade() -> None:
    op.drop_table("dead_letters")
