"""Passwords, sessions, signing keys, changes, the audit log.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"


def _now(name: str, **more: object) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now(), **more)


def _when(name: str, **more: object) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), **more)


def _user(**more: object) -> sa.Column:
    return sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False, **more)


def upgrade() -> None:
    op.add_column("users", sa.Column("password_hash", sa.Text))
    op.add_column("users", sa.Column("version", sa.BigInteger, nullable=False, server_default="1"))
    op.add_column("users", sa.Column("tokens_from", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("users", sa.Column("failed_logins", sa.Integer, nullable=False, server_default="0"))
    op.add_column("users", _when("failed_login_at"))
    for name in ("username", "email"):
        op.create_index(f"uq_users_lower_{name}", "users", [sa.text(f"lower({name})")], unique=True)
    op.add_column("api_keys", _when("last_used_at"))
    op.execute("""
        UPDATE api_keys SET scopes = CASE WHEN role = 'admin' THEN ARRAY['jobs:read', 'jobs:write', 'keys', 'admin']
                                          ELSE ARRAY['jobs:read', 'jobs:write', 'keys'] END
        FROM users WHERE users.id = api_keys.user_id AND 'jobs' = ANY(scopes)
    """)
    op.create_table(
        "key_requests",
        _user(primary_key=True),
        sa.Column("idempotency_key", sa.Text, primary_key=True),
        sa.Column("request_hash", sa.LargeBinary, nullable=False),
        sa.Column("salt", sa.LargeBinary, nullable=False),
        sa.Column("key_id", sa.Text, sa.ForeignKey("api_keys.id", ondelete="CASCADE"), nullable=False),
        _now("created_at", index=True),
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid, primary_key=True),
        _user(index=True),
        sa.Column("generation", sa.Integer, nullable=False, server_default="1"),
        _now("rotated_at"),
        _when("expires_at", nullable=False),
        _when("ended_at"),
        _now("created_at"),
    )
    op.create_table(
        "refresh_tokens",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("session_id", sa.Uuid, sa.ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("generation", sa.Integer, nullable=False),
        _now("created_at"),
    )
    op.create_table(
        "signing_keys",
        sa.Column("kid", sa.Text, primary_key=True),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        sa.Column("private_key", sa.LargeBinary, nullable=False),
        _when("signs_from", nullable=False),
        _now("created_at"),
    )
    op.create_table(
        "changes",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        _user(),
        sa.Column("body", JSONB, nullable=False),
        _now("at", index=True),
    )
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        _when("at", nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("actor_id", sa.Uuid),
        sa.Column("subject_id", sa.Uuid),
        sa.Column("ip", sa.Text),
        sa.Column("request_id", sa.Text),
        sa.Column("detail", JSONB, nullable=False, server_default="{}"),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Index("ix_audit_log_subject_id", "subject_id", "id"),
    )
    op.execute("""
        CREATE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$
    """)
    op.execute("""
        CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
        FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_append_only()
    """)


def downgrade() -> None:
    for table in ("audit_log", "changes", "signing_keys", "refresh_tokens", "sessions", "key_requests"):
        op.drop_table(table)
    op.execute("DROP FUNCTION audit_log_is_append_only")
    op.drop_column("api_keys", "last_used_at")
    for name in ("username", "email"):
        op.drop_index(f"uq_users_lower_{name}", "users")
    for name in ("failed_login_at", "failed_logins", "tokens_from", "version", "password_hash"):
        op.drop_column("users", name)
