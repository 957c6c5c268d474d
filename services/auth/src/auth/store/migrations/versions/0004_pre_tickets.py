"""Tickets for websockets.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "ws_tickets",
        sa.Column("digest", sa.LargeBinary, primary_key=True, comment="SHA-256 of 256 random bits"),
        sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("key_id", sa.Text, comment="the credential that asked for it: a key, or else a session"),
        sa.Column("session_id", sa.Uuid),
        sa.Column("principal", JSONB, nullable=False, comment="contracts.auth.Principal"),
        sa.Column("origin", sa.Text, comment="of the pages that may use it; null: it is for no page"),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False, index=True),
        comment="Each is deleted by the websocket that it opens, or after its 30 seconds.",
    )


def downgrade() -> None:
    op.drop_table("ws_tickets")
