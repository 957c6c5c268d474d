"""Let a node have two live attempts, of which one starts after the other.

Revision ID: 0023
"""

import sqlalchemy as sa
from alembic import op

from chassis.database.migrate import create_index_concurrently

revision = "0023"
down_revision = "0022"
oldest_code = "0016"


def upgrade() -> None:
    op.add_column(
        "attempts",
        sa.Column(
            "slot", sa.SmallInteger, nullable=False, server_default="0", comment="0 or 1: the node's live attempts"
        ),
    )
    op.add_column(
        "attempts",
        sa.Column(
            "prefetched", sa.Boolean, nullable=False, server_default="false",
            comment="claimed while its node had another attempt, and not started; once started, leased_at is the start",
        ),
    )  # fmt: skip
    op.execute("ALTER TABLE attempts ADD CONSTRAINT ck_attempts_slot_known CHECK (slot IN (0, 1)) NOT VALID")
    op.execute("ALTER TABLE attempts VALIDATE CONSTRAINT ck_attempts_slot_known")
    live = sa.text("ended_at IS NULL")
    create_index_concurrently("uq_attempts_live_slot", "attempts", ["node", "slot"], unique=True, postgresql_where=live)
    create_index_concurrently(
        "ix_attempts_prefetched", "attempts", ["leased_at"], postgresql_where=sa.text("prefetched AND ended_at IS NULL")
    )
    op.drop_index("uq_attempts_live_node", table_name="attempts")


def downgrade() -> None:
    """Fails while a node has two live attempts: stop the executors first."""
    op.create_index(
        "uq_attempts_live_node", "attempts", ["node"], unique=True, postgresql_where=sa.text("ended_at IS NULL")
    )
    op.drop_index("ix_attempts_prefetched", table_name="attempts")
    op.drop_index("uq_attempts_live_slot", table_name="attempts")
    op.drop_constraint("ck_attempts_slot_known", "attempts")
    op.drop_column("attempts", "prefetched")
    op.drop_column("attempts", "slot")
