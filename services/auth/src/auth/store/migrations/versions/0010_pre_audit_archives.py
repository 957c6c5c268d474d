"""Old audit entries can be moved to files; a fresh installation keeps enterprise jobs for a year instead of for good.

Revision ID: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
oldest_code = "0009"


def upgrade() -> None:
    op.create_table(
        "audit_archives",
        sa.Column("last_id", sa.BigInteger, primary_key=True, autoincrement=False, comment="of the newest entry in it"),
        sa.Column("last_hash", sa.LargeBinary, nullable=False, comment="of that entry: the chain goes on from it"),
        sa.Column("first_id", sa.BigInteger, nullable=False),
        sa.Column("file", sa.Text, nullable=False, comment="its name in AUTH_AUDIT_ARCHIVE"),
        sa.Column("sha256", sa.LargeBinary, nullable=False, comment="of the file"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        comment="Files of entries that were removed from audit_log. Append-only.",
    )
    op.execute("""
        CREATE TRIGGER audit_archives_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_archives
        FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_append_only()
    """)
    op.execute("DROP TRIGGER audit_log_is_append_only ON audit_log")
    op.execute("""
        CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE OR TRUNCATE ON audit_log
        FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_append_only()
    """)
    op.execute("""
        CREATE FUNCTION audit_log_keeps_unarchived() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT 1 FROM removed
                       WHERE id > coalesce((SELECT max(last_id) FROM audit_archives), 0)) THEN
                RAISE EXCEPTION 'the audit log is append-only: these entries are in no archive';
            END IF;
            RETURN NULL;
        END $$
    """)
    op.execute("""
        CREATE TRIGGER audit_log_keeps_unarchived AFTER DELETE ON audit_log REFERENCING OLD TABLE AS removed
        FOR EACH STATEMENT EXECUTE FUNCTION audit_log_keeps_unarchived()
    """)
    # Only where nobody can have stored anything yet: an upgrade deletes nothing.
    op.execute("""
        UPDATE tiers SET result_days = 365, upload_days = 90
        WHERE name = 'enterprise' AND result_days IS NULL AND upload_days IS NULL AND NOT EXISTS (SELECT 1 FROM users)
    """)


def downgrade() -> None:
    op.execute("DROP TRIGGER audit_log_keeps_unarchived ON audit_log")
    op.execute("DROP FUNCTION audit_log_keeps_unarchived")
    op.execute("DROP TRIGGER audit_log_is_append_only ON audit_log")
    op.execute("""
        CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
        FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_append_only()
    """)
    op.drop_table("audit_archives")
