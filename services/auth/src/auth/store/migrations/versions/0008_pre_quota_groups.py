"""Which group of accounts shares the daily image quota of an address.

Revision ID: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "quota_groups",
        sa.Column("digest", sa.LargeBinary, primary_key=True, comment="HMAC-SHA-256 of an address, never the address"),
        sa.Column("id", sa.Uuid, nullable=False, comment="users.quota_group"),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now(), index=True),
        comment="The group that accounts join which register from an address, while it is young enough.",
    )


def downgrade() -> None:
    op.drop_table("quota_groups")
