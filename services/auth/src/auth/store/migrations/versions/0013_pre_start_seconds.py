"""How long a job of a tier may wait for its first attempt.

Revision ID: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
oldest_code = "0009"


def upgrade() -> None:
    op.add_column(
        "tiers", sa.Column("start_seconds", sa.Float, comment="a job may wait for its first attempt for so long")
    )


def downgrade() -> None:
    op.drop_column("tiers", "start_seconds")
