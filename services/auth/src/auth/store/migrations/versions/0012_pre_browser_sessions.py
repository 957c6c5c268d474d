"""Sessions show where they are used; login links.

Revision ID: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
oldest_code = "0009"


def upgrade() -> None:
    comment = "of the login or the last refresh"
    op.add_column("sessions", sa.Column("user_agent", sa.Text, comment=f"{comment}, at most 200 characters"))
    op.add_column("sessions", sa.Column("ip", sa.Text, comment=comment))
    op.create_table(
        "login_links",
        sa.Column("digest", sa.LargeBinary, primary_key=True, comment="SHA-256 of 256 random bits"),
        sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("created_by", sa.Uuid, comment="the admin who created it; null: the command line"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False, index=True),
        comment="Each is deleted by the login that uses it, or a day after it expired.",
    )


def downgrade() -> None:
    op.drop_table("login_links")
    op.drop_column("sessions", "ip")
    op.drop_column("sessions", "user_agent")
