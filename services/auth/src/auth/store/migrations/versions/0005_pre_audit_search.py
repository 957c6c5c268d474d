"""The audit log is searched by who, what and when.

Revision ID: 0005
"""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_index("ix_audit_log_actor_id", "audit_log", ["actor_id", "id"])
    op.create_index("ix_audit_log_action", "audit_log", ["action", "id"])
    op.create_index("ix_audit_log_at", "audit_log", ["at"])


def downgrade() -> None:
    for name in ("ix_audit_log_at", "ix_audit_log_action", "ix_audit_log_actor_id"):
        op.drop_index(name, table_name="audit_log")
