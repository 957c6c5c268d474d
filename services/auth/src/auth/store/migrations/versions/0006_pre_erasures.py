"""Accounts that are no more.

Revision ID: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column(
        "users",
        sa.Column("erased_at", sa.DateTime(timezone=True), comment="then nothing is left here but the id"),
    )
    op.create_table(
        "erasures",
        sa.Column(
            "number",
            sa.BigInteger,
            sa.Identity(),
            primary_key=True,
            comment="drawn under a lock: it follows the commits",
        ),
        sa.Column("tenant_id", sa.Uuid, nullable=False, unique=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        comment="Accounts that are no more, for good: who was away, or comes from a backup, reads them all.",
    )


def downgrade() -> None:
    op.drop_table("erasures")
    op.drop_column("users", "erased_at")
