"""Which secret key the digest of an API key depends on.

Revision ID: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
oldest_code = "0009"


def upgrade() -> None:
    comment = "identifies the SECRET_KEY of the digest; null: not known, since the key is old"
    op.add_column("api_keys", sa.Column("pepper_id", sa.Text, comment=comment))


def downgrade() -> None:
    op.drop_column("api_keys", "pepper_id")
