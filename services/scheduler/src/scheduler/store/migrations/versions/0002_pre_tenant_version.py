"""Add the version of a tenant's last change event.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column(
        "tenants",
        sa.Column("version", sa.BigInteger(), server_default="0", nullable=False, comment="of the last change heard"),
    )


def downgrade() -> None:
    op.drop_column("tenants", "version")
