"""Record when attempts left their nodes, so that the time in which outputs are stored is no run time.

Revision ID: 0028
"""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
oldest_code = "0016"


def upgrade() -> None:
    op.add_column(
        "attempts",
        sa.Column(
            "left_node_at",
            sa.DateTime(timezone=True),
            comment="when a heartbeat first said that its prompt had ended; its outputs may still be stored",
        ),
    )


def downgrade() -> None:
    op.drop_column("attempts", "left_node_at")
