"""What operators see of nodes: software, GPUs, the running node of the graph, and failed attempts.

Revision ID: 0019
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from chassis.database.migrate import create_index_concurrently

revision = "0019"
down_revision = "0018"
oldest_code = "0016"


def upgrade() -> None:
    create_index_concurrently(
        "ix_attempts_faults",
        "attempts",
        ["node", sa.text("ended_at DESC")],
        postgresql_where=sa.text("outcome IN ('failed', 'node_fault')"),
    )
    op.add_column("nodes", sa.Column("system", JSONB, comment="contracts.scheduler.heartbeats.NodeSystem"))
    op.add_column("nodes", sa.Column("graph_node", sa.Text, comment="node of the graph that its attempt runs now"))
    op.add_column("nodes", sa.Column("graph_node_class", sa.Text))


def downgrade() -> None:
    op.drop_index("ix_attempts_faults", "attempts")
    for column in ("graph_node_class", "graph_node", "system"):
        op.drop_column("nodes", column)
