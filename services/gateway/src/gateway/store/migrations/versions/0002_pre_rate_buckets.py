"""The rate_buckets table."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "rate_buckets",
        sa.Column("key", sa.Text, nullable=False, comment="endpoint class, colon, whose"),
        sa.Column("tokens", sa.Double, nullable=False, comment="that were left at that time"),
        sa.Column("capacity", sa.Double, nullable=False),
        sa.Column("taken", sa.Double, nullable=False, comment="by the last draw; only its own RETURNING reads it"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_rate_buckets")),
        comment="Written often and in place: no further index, and room on each page. May be lost: all start full.",
        postgresql_with={"fillfactor": "50"},
    )


def downgrade() -> None:
    op.drop_table("rate_buckets")
