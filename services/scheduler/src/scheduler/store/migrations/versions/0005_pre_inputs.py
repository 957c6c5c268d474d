"""Add the uploads of a graph, model and seed of built-in workflows, and the loaded models of nodes.

Revision ID: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column(
        "graphs",
        sa.Column("inputs", sa.ARRAY(sa.Uuid), server_default="{}", nullable=False, comment="uploads that it names"),
    )
    op.add_column("jobs", sa.Column("model", sa.Text, comment="of a built-in workflow, here and below"))
    op.add_column("jobs", sa.Column("seed", sa.Numeric(20, 0), comment="up to 2^64 - 1"))
    op.add_column(
        "nodes",
        sa.Column(
            "loaded",
            sa.ARRAY(sa.Text),
            server_default="{}",
            nullable=False,
            comment="Class.input=file of its last prompt",
        ),
    )


def downgrade() -> None:
    op.drop_column("nodes", "loaded")
    op.drop_column("jobs", "seed")
    op.drop_column("jobs", "model")
    op.drop_column("graphs", "inputs")
