"""How large an uploaded file may be that is no image.

Revision ID: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

# A node takes 100 MiB unless it is started with --max-upload-size.
TIERS = {"free": 50_000_000, "basic": 100_000_000, "pro": 1_000_000_000, "enterprise": None}


def upgrade() -> None:
    op.add_column("tiers", sa.Column("upload_bytes", sa.BigInteger, comment="of one uploaded file that is no image"))
    tiers = sa.table("tiers", sa.column("name"), sa.column("upload_bytes"))
    for name, most in TIERS.items():
        op.execute(tiers.update().where(tiers.c.name == name).values(upload_bytes=most))


def downgrade() -> None:
    op.drop_column("tiers", "upload_bytes")
