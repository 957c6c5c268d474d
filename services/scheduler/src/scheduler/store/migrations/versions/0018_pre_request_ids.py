"""The id of the request that submitted a job.

Revision ID: 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
oldest_code = "0016"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("request_id", sa.Text, comment="of the request that submitted it, for logs"))


def downgrade() -> None:
    op.drop_column("jobs", "request_id")
