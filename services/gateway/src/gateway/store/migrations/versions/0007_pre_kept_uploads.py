"""Uploads that never expire.

Revision ID: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.alter_column(
        "uploads", "expires_at", existing_type=sa.DateTime(timezone=True), nullable=True, comment="null: never"
    )
    op.execute("UPDATE uploads SET expires_at = NULL WHERE expires_at > created_at + interval '36499 days'")


def downgrade() -> None:
    op.execute("UPDATE uploads SET expires_at = now() + interval '36500 days' WHERE expires_at IS NULL")
    op.alter_column("uploads", "expires_at", existing_type=sa.DateTime(timezone=True), nullable=False, comment=None)
