"""How long a tier keeps results and uploads.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

TIERS = (
    # name, days that an ended job is kept, days that an upload is kept which no job uses
    ("free", 7, 1),
    ("basic", 30, 7),
    ("pro", 90, 30),
)


def upgrade() -> None:
    op.add_column("tiers", sa.Column("result_days", sa.Integer, comment="an ended job is kept for so long"))
    op.add_column(
        "tiers", sa.Column("upload_days", sa.Integer, comment="an upload that no job uses is kept for so long")
    )
    tiers = sa.table("tiers", sa.column("name"), sa.column("result_days"), sa.column("upload_days"))
    for name, result_days, upload_days in TIERS:
        op.execute(tiers.update().where(tiers.c.name == name).values(result_days=result_days, upload_days=upload_days))


def downgrade() -> None:
    op.drop_column("tiers", "upload_days")
    op.drop_column("tiers", "result_days")
