"""Create tenants, jobs, attempts, nodes and the outbox.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from chassis.messaging.outbox import NOTIFY_SQL

revision = "0001"
down_revision = None

# tenants_ready wakes waiting requests for work when a tenant has a job that may run; requirements_made announces new
# requirements to all schedulers.
WORK_SQL = (
    """
CREATE FUNCTION tenants_ready() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_notify('work', ''); RETURN NULL; END $$
""",
    """
CREATE TRIGGER tenants_ready AFTER INSERT OR UPDATE ON tenants FOR EACH ROW WHEN (NEW.ready)
EXECUTE FUNCTION tenants_ready()
""",
    """
CREATE FUNCTION requirements_made() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_notify('requirements', ''); RETURN NULL; END $$
""",
    """
CREATE TRIGGER requirements_made AFTER INSERT ON requirements FOR EACH STATEMENT
EXECUTE FUNCTION requirements_made()
""",
)

# A second safeguard behind the transition table in the code.
FINAL_SQL = (
    """
CREATE FUNCTION jobs_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'job % has ended as %', OLD.id, OLD.state; END $$
""",
    """
CREATE TRIGGER jobs_final BEFORE UPDATE OF state ON jobs FOR EACH ROW
WHEN (OLD.state IN ('succeeded', 'failed', 'cancelled', 'expired'))
EXECUTE FUNCTION jobs_final()
""",
)


def upgrade() -> None:
    op.create_table(
        "catalogs",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("classes_zlib", sa.LargeBinary(), nullable=False),
        sa.Column("reported_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_catalogs")),
    )
    op.create_table(
        "nodes",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("boot_id", sa.Uuid(), nullable=False),
        sa.Column("online", sa.Boolean(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("catalog_digest", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_nodes")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False, comment="becomes Nats-Msg-Id: a second copy is dropped"),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index("ix_outbox_published_at", "outbox", ["published_at"], unique=False)
    op.create_index(
        "ix_outbox_unpublished", "outbox", ["id"], unique=False, postgresql_where=sa.text("published_at IS NULL")
    )
    op.create_table(
        "requirements",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("needs", sa.ARRAY(sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_requirements")),
        sa.UniqueConstraint("digest", name=op.f("uq_requirements_digest")),
    )
    op.create_table(
        "tenants",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("images_per_day", sa.Integer(), nullable=True, comment="null: unlimited, here and below"),
        sa.Column("max_running", sa.Integer(), nullable=True),
        sa.Column("queue_cap", sa.Integer(), nullable=True),
        sa.Column("weight", sa.Float(), nullable=False),
        sa.Column("queued", sa.Integer(), server_default="0", nullable=False),
        sa.Column("running", sa.Integer(), server_default="0", nullable=False, comment="live attempts"),
        sa.Column("vtime", sa.Float(), server_default="0", nullable=False, comment="GPU-seconds used / weight"),
        sa.Column(
            "ready",
            sa.Boolean(),
            sa.Computed("queued > 0 AND is_active AND (max_running IS NULL OR running < max_running)", persisted=True),
            nullable=True,
        ),
        sa.CheckConstraint("queued >= 0", name=op.f("ck_tenants_queued_not_negative")),
        sa.CheckConstraint("running >= 0", name=op.f("ck_tenants_running_not_negative")),
        sa.CheckConstraint("weight > 0", name=op.f("ck_tenants_weight_positive")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenants")),
    )
    op.create_index("ix_tenants_ready", "tenants", ["vtime", "id"], unique=False, postgresql_where=sa.text("ready"))
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("workflow", sa.Text(), nullable=False),
        sa.Column("labels", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("requirement_id", sa.BigInteger(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False, comment="reserved, after the end really made"),
        sa.Column("usage_day", sa.Date(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False, comment="of the newest event"),
        sa.Column("progress", sa.Float(), server_default="0", nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("request_hash", sa.Text(), nullable=False),
        sa.Column("start_by", sa.DateTime(timezone=True), nullable=True),
        sa.Column("run_within_s", sa.Float(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True, comment="of the newest attempt"),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outputs", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("error", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.ForeignKeyConstraint(["requirement_id"], ["requirements.id"], name=op.f("fk_jobs_requirement_id")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_jobs_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index(
        "ix_jobs_queue",
        "jobs",
        ["tenant_id", sa.literal_column("priority DESC"), "id"],
        unique=False,
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        "ix_jobs_start_by",
        "jobs",
        ["start_by"],
        unique=False,
        postgresql_where=sa.text("state = 'queued' AND start_by IS NOT NULL"),
    )
    op.create_index("ix_jobs_tenant", "jobs", ["tenant_id", "id"], unique=False)
    op.create_index(
        "uq_jobs_idempotency",
        "jobs",
        ["tenant_id", "idempotency_key"],
        unique=True,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )
    op.create_table(
        "usage_days",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.CheckConstraint("images >= 0", name=op.f("ck_usage_days_images_not_negative")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_usage_days_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "day", name=op.f("pk_usage_days")),
    )
    op.create_table(
        "attempts",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("lease_token", sa.Uuid(), nullable=False),
        sa.Column("prompt_id", sa.Uuid(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("leased_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("error", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("gpu_seconds", sa.Float(), nullable=True),
        sa.Column("cost", sa.Float(), nullable=False, comment="GPU-seconds charged at the claim, settled at the end"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_attempts_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "attempt", name=op.f("pk_attempts")),
    )
    op.create_index("ix_attempts_ended_at", "attempts", ["ended_at"], unique=False)
    op.create_index(
        "ix_attempts_lease", "attempts", ["lease_until"], unique=False, postgresql_where=sa.text("ended_at IS NULL")
    )
    op.create_index(
        "uq_attempts_live_node", "attempts", ["node"], unique=True, postgresql_where=sa.text("ended_at IS NULL")
    )
    op.create_table(
        "graphs",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("graph", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_graphs_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_graphs")),
    )
    op.create_table(
        "job_events",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("event", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_events_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "seq", name=op.f("pk_job_events")),
    )
    for statement in (*NOTIFY_SQL, *WORK_SQL, *FINAL_SQL):
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("job_events")
    op.drop_table("graphs")
    op.drop_index("uq_attempts_live_node", table_name="attempts", postgresql_where=sa.text("ended_at IS NULL"))
    op.drop_index("ix_attempts_lease", table_name="attempts", postgresql_where=sa.text("ended_at IS NULL"))
    op.drop_index("ix_attempts_ended_at", table_name="attempts")
    op.drop_table("attempts")
    op.drop_table("usage_days")
    op.drop_index("uq_jobs_idempotency", table_name="jobs", postgresql_where=sa.text("idempotency_key IS NOT NULL"))
    op.drop_index("ix_jobs_tenant", table_name="jobs")
    op.drop_index(
        "ix_jobs_start_by", table_name="jobs", postgresql_where=sa.text("state = 'queued' AND start_by IS NOT NULL")
    )
    op.drop_index("ix_jobs_queue", table_name="jobs", postgresql_where=sa.text("state = 'queued'"))
    op.drop_table("jobs")
    op.drop_index("ix_tenants_ready", table_name="tenants", postgresql_where=sa.text("ready"))
    op.drop_table("tenants")
    op.drop_table("requirements")
    op.drop_index("ix_outbox_unpublished", table_name="outbox", postgresql_where=sa.text("published_at IS NULL"))
    op.drop_index("ix_outbox_published_at", table_name="outbox")
    op.drop_table("outbox")
    op.drop_table("nodes")
    op.drop_table("catalogs")
    for function in ("outbox_notify", "tenants_ready", "requirements_made", "jobs_final"):
        op.execute(f"DROP FUNCTION {function}()")
