"""Add graphs.extra_data, which nodes get beside the inputs of the graph.

Revision ID: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column(
        "graphs", sa.Column("extra_data", sa.JSON, comment="ComfyUI's extra_data, of keys that the gateway lets pass")
    )


def downgrade() -> None:
    op.drop_column("graphs", "extra_data")
