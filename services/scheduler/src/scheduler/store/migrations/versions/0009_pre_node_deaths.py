"""In which attempts the node died.

Revision ID: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0007"


def upgrade() -> None:
    op.add_column(
        "attempts",
        sa.Column(
            "node_died", sa.Boolean(), server_default="false", nullable=False, comment="with this attempt in hand"
        ),
    )
    op.add_column(
        "attempts",
        sa.Column(
            "silent_boot_id",
            sa.Uuid(),
            nullable=True,
            comment="executor that fell silent; heard again, its node had not died",
        ),
    )
    op.create_index("ix_attempts_node_died", "attempts", ["node", "ended_at"], postgresql_where=sa.text("node_died"))


def downgrade() -> None:
    op.drop_index("ix_attempts_node_died", table_name="attempts", postgresql_where=sa.text("node_died"))
    op.drop_column("attempts", "silent_boot_id")
    op.drop_column("attempts", "node_died")
