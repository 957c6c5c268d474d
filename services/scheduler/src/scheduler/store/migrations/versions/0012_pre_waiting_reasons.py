"""Record since when a node is online or offline, and since when it has foreign prompts.

Revision ID: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column(
        "nodes",
        sa.Column(
            "state_since",
            sa.DateTime(timezone=True),
            comment="it is online or not, with its catalog, since then; null: unknown",
        ),
    )
    op.add_column(
        "nodes",
        sa.Column(
            "shared_since",
            sa.DateTime(timezone=True),
            comment="prompts of somebody else are in its queue since then; null: none are",
        ),
    )


def downgrade() -> None:
    op.drop_column("nodes", "shared_since")
    op.drop_column("nodes", "state_since")
