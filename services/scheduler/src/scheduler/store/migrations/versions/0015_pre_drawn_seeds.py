"""Add jobs.seeds: the inputs that got random seeds, with the seeds.

Revision ID: 0015
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column(
        "jobs",
        sa.Column("seeds", JSONB, comment="contracts.scheduler.DrawnSeed, of any workflow; NULL where none was drawn"),
    )


def downgrade() -> None:
    op.drop_column("jobs", "seeds")
