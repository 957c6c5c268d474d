"""Index queued jobs by requirement, list which tenants wait for which requirement, and say what became claimable.

Revision ID: 0020
"""

import sqlalchemy as sa
from alembic import op

from chassis.database.migrate import create_index_concurrently

revision = "0020"
down_revision = "0019"
oldest_code = "0016"

# The CASE keeps PostgreSQL from answering with ix_jobs_queue instead, where it would filter all jobs of the tenant.
CLAIMABLE = "CASE WHEN state = 'queued' THEN NOT on_hold END"

# Code from before this migration does not maintain the table, so triggers fill it. The code removes rows; one that is
# left over costs a claim a look, and is removed with the next job of its tenant and requirement.
SQL = (
    """
CREATE FUNCTION jobs_queued() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO waiting_requirements (requirement_id, tenant_id)
    SELECT DISTINCT requirement_id, tenant_id FROM made WHERE state = 'queued' AND NOT on_hold
    ON CONFLICT DO NOTHING;
    PERFORM pg_notify('work', m.requirement_id::text)
    FROM (SELECT DISTINCT requirement_id FROM made WHERE state = 'queued' AND NOT on_hold) m;
    RETURN NULL;
END $$
""",
    """
CREATE TRIGGER jobs_queued AFTER INSERT ON jobs REFERENCING NEW TABLE AS made FOR EACH STATEMENT
EXECUTE FUNCTION jobs_queued()
""",
    """
CREATE FUNCTION job_requeued() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO waiting_requirements (requirement_id, tenant_id) VALUES (NEW.requirement_id, NEW.tenant_id)
    ON CONFLICT DO NOTHING;
    PERFORM pg_notify('work', NEW.requirement_id::text);
    RETURN NULL;
END $$
""",
    """
CREATE TRIGGER job_requeued AFTER UPDATE OF state, on_hold ON jobs FOR EACH ROW
WHEN (NEW.state = 'queued' AND NOT NEW.on_hold AND (OLD.state <> 'queued' OR OLD.on_hold))
EXECUTE FUNCTION job_requeued()
""",
    # A tenant that becomes ready because a job was queued is announced by the triggers of jobs.
    "DROP TRIGGER tenants_ready ON tenants",
    """
CREATE TRIGGER tenants_ready AFTER UPDATE ON tenants FOR EACH ROW
WHEN (NEW.ready AND NOT OLD.ready AND OLD.queued > 0) EXECUTE FUNCTION tenants_ready()
""",
    """
CREATE FUNCTION nodes_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_notify('work', 'nodes'); RETURN NULL; END $$
""",
    """
CREATE TRIGGER nodes_changed AFTER UPDATE OF catalog_digest, cordoned_at ON nodes FOR EACH ROW
WHEN (NEW.catalog_digest IS DISTINCT FROM OLD.catalog_digest OR NEW.cordoned_at IS NULL AND OLD.cordoned_at IS NOT NULL)
EXECUTE FUNCTION nodes_changed()
""",
    """
INSERT INTO waiting_requirements (requirement_id, tenant_id)
SELECT DISTINCT requirement_id, tenant_id FROM jobs WHERE state = 'queued' AND NOT on_hold
""",
)
DOWN_SQL = (
    "DROP TRIGGER nodes_changed ON nodes",
    "DROP FUNCTION nodes_changed()",
    "DROP TRIGGER tenants_ready ON tenants",
    """
CREATE TRIGGER tenants_ready AFTER INSERT OR UPDATE ON tenants FOR EACH ROW WHEN (NEW.ready)
EXECUTE FUNCTION tenants_ready()
""",
    "DROP TRIGGER job_requeued ON jobs",
    "DROP FUNCTION job_requeued()",
    "DROP TRIGGER jobs_queued ON jobs",
    "DROP FUNCTION jobs_queued()",
)


def upgrade() -> None:
    columns = ["tenant_id", "requirement_id", sa.text("priority DESC"), "id"]
    create_index_concurrently("ix_jobs_claimable", "jobs", columns, postgresql_where=sa.text(CLAIMABLE))
    op.create_table(
        "waiting_requirements",
        sa.Column("requirement_id", sa.BigInteger, primary_key=True),
        sa.Column("tenant_id", sa.Uuid, primary_key=True),
        sa.Index("ix_waiting_requirements_tenant_id", "tenant_id", "requirement_id"),
        comment="Tenants with queued jobs by what these jobs need, so that claims skip jobs that a node cannot run.",
    )
    for statement in SQL:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN_SQL:
        op.execute(statement)
    op.drop_table("waiting_requirements")
    op.drop_index("ix_jobs_claimable", table_name="jobs")
