"""The workflows table."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "workflows",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("tenant_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("description", sa.Text, nullable=True),
        sa.Column("graph", sa.Text, nullable=False, comment="JSON as it was sent: jsonb would turn its keys about"),
        sa.Column("parameters", sa.Text, nullable=False, comment="JSON: name to what it sets and may be"),
        sa.Column("digest", sa.Text, nullable=False, comment="SHA-256 of all that was sent, hex"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflows")),
        sa.UniqueConstraint("tenant_id", "name", "version", name=op.f("uq_workflows_tenant_id_name_version")),
        sa.CheckConstraint("version >= 1", name=op.f("ck_workflows_version_counts_from_one")),
        comment="Each version is written once; a workflow is deleted whole.",
    )


def downgrade() -> None:
    op.drop_table("workflows")
