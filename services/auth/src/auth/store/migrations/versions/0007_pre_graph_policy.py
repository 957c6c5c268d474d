"""Which node classes a tier may use and how large its graphs may be; rules of operators; invitations; shared quotas.

Revision ID: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

# Above every ordinary graph (2048 x 2048, 150 steps, a batch of 10; 720p video of 241 frames; 4 x upscale of 2K), below
# what kills or blocks a node (16384 x 16384 x 8 images; 10,000 steps).
BOUNDS = ("graph_nodes", "graph_text_bytes", "graph_pixels", "graph_steps", "graph_pixel_steps", "run_seconds")
TIERS = {
    "free": ("strict", 500, 262_144, 268_435_456, 200, 20_000_000_000, 900.0),
    "basic": ("strict", 1000, 1_048_576, 268_435_456, 500, 50_000_000_000, 1800.0),
    "pro": ("strict", 2000, 1_048_576, 536_870_912, 1000, 200_000_000_000, 3600.0),
    "enterprise": ("open", None, None, None, None, None, None),
}


def upgrade() -> None:
    op.add_column(
        "tiers",
        sa.Column("graph_policy", sa.Text, nullable=False, server_default="strict", comment="strict or open"),
    )
    op.add_column("tiers", sa.Column("graph_nodes", sa.Integer))
    op.add_column("tiers", sa.Column("graph_text_bytes", sa.BigInteger))
    op.add_column("tiers", sa.Column("graph_pixels", sa.BigInteger, comment="of one image times its batch"))
    op.add_column("tiers", sa.Column("graph_steps", sa.Integer))
    op.add_column("tiers", sa.Column("graph_pixel_steps", sa.BigInteger))
    op.add_column("tiers", sa.Column("run_seconds", sa.Float, comment="of one attempt"))
    op.add_column("tiers", sa.Column("gpu_seconds_per_day", sa.Float))
    op.add_column("tiers", sa.Column("result_bytes", sa.BigInteger, comment="stored at the same time"))
    tiers = sa.table("tiers", sa.column("name"), sa.column("graph_policy"), *map(sa.column, BOUNDS))
    for name, (policy, *bounds) in TIERS.items():
        values = {"graph_policy": policy, **dict(zip(BOUNDS, bounds, strict=True))}
        op.execute(tiers.update().where(tiers.c.name == name).values(**values))
    op.create_table(
        "class_rules",
        sa.Column("kind", sa.Text, primary_key=True, comment="class or pack"),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("verdict", sa.Text, nullable=False, comment="allow or deny"),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        comment="What operators decided about node classes and packs, for every tenant.",
    )
    op.create_table(
        "invites",
        sa.Column("digest", sa.LargeBinary, primary_key=True, comment="SHA-256 of 256 random bits"),
        sa.Column("id", sa.Uuid, nullable=False, unique=True),
        sa.Column("tier", sa.Text, sa.ForeignKey("tiers.name"), nullable=False),
        sa.Column("created_by", sa.Uuid, comment="the admin who made it"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False, index=True),
        sa.Column("used_by", sa.Uuid, comment="the account that it made; null while it can be used"),
        sa.Column("used_at", sa.DateTime(timezone=True)),
        comment="Each lets one person register while registration is by invitation.",
    )
    op.add_column(
        "users",
        sa.Column("quota_group", sa.Uuid, comment="users of one group share a daily image quota; null: its own"),
    )


def downgrade() -> None:
    op.drop_column("users", "quota_group")
    op.drop_table("invites")
    op.drop_table("class_rules")
    for name in ("graph_policy", *BOUNDS, "gpu_seconds_per_day", "result_bytes"):
        op.drop_column("tiers", name)
