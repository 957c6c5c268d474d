"""Requests by user, day and endpoint.

Revision ID: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "usage_requests",
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("day", sa.Date, nullable=False, comment="UTC"),
        sa.Column("endpoint", sa.Text, nullable=False, comment="method and template of the path"),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "day", "endpoint", name=op.f("pk_usage_requests")),
        comment="Added to every few seconds by each replica, kept for 90 days.",
    )
    op.create_index("ix_usage_requests_day", "usage_requests", ["day"])
    op.create_table(
        "usage_batches",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage_batches")),
        comment="What was added to usage_requests, so that nothing is added twice; forgotten after an hour.",
    )


def downgrade() -> None:
    op.drop_table("usage_batches")
    op.drop_table("usage_requests")
