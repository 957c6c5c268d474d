"""Let a node have up to eight live attempts.

Revision ID: 0027
"""

from alembic import op

revision = "0027"
down_revision = "0026"
oldest_code = "0016"


def upgrade() -> None:
    op.drop_constraint("ck_attempts_slot_known", "attempts")
    op.execute("ALTER TABLE attempts ADD CONSTRAINT ck_attempts_slot_known CHECK (slot BETWEEN 0 AND 7) NOT VALID")
    op.execute("ALTER TABLE attempts VALIDATE CONSTRAINT ck_attempts_slot_known")
    op.alter_column("attempts", "slot", comment="0 to 7, unique among live attempts")


def downgrade() -> None:
    """Fails while a node has more than two live attempts: stop the executors first."""
    op.execute("UPDATE attempts SET slot = 0 WHERE slot > 1 AND ended_at IS NOT NULL")
    op.drop_constraint("ck_attempts_slot_known", "attempts")
    op.execute("ALTER TABLE attempts ADD CONSTRAINT ck_attempts_slot_known CHECK (slot IN (0, 1))")
    op.alter_column("attempts", "slot", comment="0 or 1: the node's live attempts")
