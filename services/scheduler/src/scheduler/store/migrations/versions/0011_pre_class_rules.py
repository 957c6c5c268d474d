"""Save the operators' node class rules, and whether a node's models at join are recorded.

Revision ID: 0011
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "class_rules",
        sa.Column("one", sa.Boolean, primary_key=True, server_default=sa.true(), comment="there is one row"),
        sa.Column("rules", JSONB, nullable=False, comment="contracts.graph_policy.policy.ClassRules"),
        sa.CheckConstraint("one", name="one_row"),
        comment="Operators' rules about node classes, for when auth is away.",
    )
    op.add_column(
        "nodes",
        sa.Column(
            "models_noted",
            sa.Boolean,
            nullable=False,
            server_default=sa.false(),
            comment="models_at_join has what it had when it joined",
        ),
    )


def downgrade() -> None:
    op.drop_column("nodes", "models_noted")
    op.drop_table("class_rules")
