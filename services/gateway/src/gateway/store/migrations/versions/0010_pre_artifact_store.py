"""The identity of the artifact store, and the report of the last sweep.

Revision ID: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
oldest_code = "0009"


def upgrade() -> None:
    op.create_table(
        "artifact_store",
        sa.Column("single", sa.Boolean, primary_key=True, server_default=sa.true(), comment="there is one row at most"),
        sa.Column("store_id", sa.Uuid, nullable=False, comment="the store's marker has the same"),
        sa.Column(
            "confirmed_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.func.now(),
            comment="when both last agreed; copied to the marker, so that a restored database is recognized",
        ),
        sa.Column(
            "swept_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.func.now(),
            comment="start of the last sweep of any gateway",
        ),
        sa.Column("reported_at", sa.DateTime(timezone=True), comment="of the last sweep's report; null without one"),
        sa.Column("objects", sa.BigInteger, comment="uploads and outputs in the store"),
        sa.Column("orphans", sa.BigInteger, comment="old ones of them without a record"),
        sa.Column("orphan_bytes", sa.BigInteger),
        sa.Column("sample", sa.ARRAY(sa.Text), comment="keys of some orphans"),
        sa.Column("approved", sa.BigInteger, comment="orphans that an admin allowed the next sweep to delete"),
        sa.Column("approved_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("single", name="one_row"),
        comment="Which artifact store belongs to this database.",
    )


def downgrade() -> None:
    op.drop_table("artifact_store")
