"""Users, tiers and API keys.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None

TIERS = (
    # name, images a day, running at once, queue cap, weight, requests a minute
    ("free", 10, 1, 10, 1.0, 30),
    ("basic", 100, 2, 100, 2.0, 120),
    ("pro", 1000, 5, 500, 4.0, 600),
    ("enterprise", None, None, None, 8.0, None),
)


def upgrade() -> None:
    tiers = op.create_table(
        "tiers",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("images_per_day", sa.Integer, comment="null: unlimited, here and below"),
        sa.Column("max_running", sa.Integer),
        sa.Column("queue_cap", sa.Integer),
        sa.Column("weight", sa.Float, nullable=False),
        sa.Column("requests_per_minute", sa.Integer),
    )
    names = ("name", "images_per_day", "max_running", "queue_cap", "weight", "requests_per_minute")
    op.bulk_insert(tiers, [dict(zip(names, tier, strict=True)) for tier in TIERS])
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("username", sa.Text, nullable=False, unique=True),
        sa.Column("email", sa.Text, nullable=False, unique=True),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("tier", sa.Text, sa.ForeignKey("tiers.name"), nullable=False),
        sa.Column("limits", JSONB, comment="own limits of this user, by name, over the tier's"),
        sa.Column("is_active", sa.Boolean, nullable=False, server_default="true"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("digest", sa.LargeBinary, nullable=False, comment="HMAC-SHA-256; the key itself is never kept"),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )


def downgrade() -> None:
    for table in ("api_keys", "users", "tiers"):
        op.drop_table(table)
