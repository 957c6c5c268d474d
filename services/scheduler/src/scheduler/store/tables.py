"""The tables of the scheduler's database and their guarantees."""

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    text,
)  # fmt: skip
from sqlalchemy.dialects.postgresql import JSONB

from chassis.database.postgres import new_metadata
from chassis.messaging.outbox import create_outbox_table

METADATA = new_metadata()

TENANT_IS_READY = "queued > 0 AND is_active AND (max_running IS NULL OR running < max_running)"

# Limits and counters of tenants. A tenant's row is locked before any of its jobs; limits are enforced under that lock.
TENANTS = Table(
    "tenants",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("tier", Text, nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("images_per_day", Integer, comment="null: unlimited, also in the following columns"),
    Column("max_running", Integer),
    Column("queue_cap", Integer),
    Column("weight", Float, nullable=False),
    Column("queued", Integer, nullable=False, server_default="0"),
    Column("running", Integer, nullable=False, server_default="0", comment="live attempts"),
    Column("vtime", Float, nullable=False, server_default="0", comment="GPU-seconds used / weight"),
    Column("ready", Boolean, Computed(TENANT_IS_READY, persisted=True)),
    Column("version", BigInteger, nullable=False, server_default="0", comment="version of the last applied change"),
    Column("result_days", Integer, comment="how long an ended job is kept"),
    Column("limits", JSONB, nullable=False, server_default="{}", comment="all limits by name (contracts.auth.Limits)"),
    Column("gpu_seconds_per_day", Float),
    Column("quota_group", Uuid, comment="tenants of one group share a daily image quota"),
    CheckConstraint("queued >= 0", name="queued_not_negative"),
    CheckConstraint("running >= 0", name="running_not_negative"),
    CheckConstraint("weight > 0", name="weight_positive"),
    Index("ix_tenants_ready", "vtime", "id", postgresql_where=text("ready")),
    Index("ix_tenants_quota_group", "quota_group", postgresql_where=text("quota_group IS NOT NULL")),
)

# Usage of a tenant's jobs by the UTC day on which they were accepted: counted at submit, settled when attempts end.
USAGE_DAYS = Table(
    "usage_days",
    METADATA,
    Column("tenant_id", Uuid, ForeignKey("tenants.id"), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("images", Integer, nullable=False),
    Column("jobs", Integer, nullable=False, server_default="0"),
    Column("gpu_seconds", Float, nullable=False, server_default="0"),
    CheckConstraint("images >= 0", name="images_not_negative"),
    Index("ix_usage_days_day", "day"),
)

# The same usage by endpoint, counted when attempts end. Usage of erased tenants is kept under the nil UUID.
USAGE_ENDPOINTS = Table(
    "usage_endpoints",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("endpoint", Text, primary_key=True, comment="method and template of the path"),
    Column("images", BigInteger, nullable=False),
    Column("gpu_seconds", Float, nullable=False),
    Index("ix_usage_endpoints_day", "day"),
)

# Anonymous totals of the usage_days of erased tenants.
ERASED_USAGE = Table(
    "erased_usage",
    METADATA,
    Column("day", Date, primary_key=True),
    Column("jobs", BigInteger, nullable=False),
    Column("images", BigInteger, nullable=False),
    Column("gpu_seconds", Float, nullable=False),
)

# What a node must have to run a job. Few rows, because many jobs have the same needs.
REQUIREMENTS = Table(
    "requirements",
    METADATA,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("digest", Text, nullable=False, unique=True),
    Column("needs", ARRAY(Text), nullable=False),
    Column(
        "memory_over_gib", Integer,
        comment="a GPU of this size was too small: only a larger one runs the jobs, if there is one",
    ),
)  # fmt: skip

# One row per accepted job. Final states never change (trigger jobs_final).
JOBS = Table(
    "jobs",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("tenants.id"), nullable=False),
    Column("state", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("workflow", Text, nullable=False),
    Column("labels", JSONB, nullable=False),
    Column("requirement_id", BigInteger, ForeignKey("requirements.id"), nullable=False),
    Column("images", Integer, nullable=False, comment="reserved images; after the end, the images that were made"),
    Column("usage_day", Date, nullable=False),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("seq", Integer, nullable=False, comment="number of the newest event"),
    Column("progress", Float, nullable=False, server_default="0"),
    Column("idempotency_key", Text),
    Column("request_hash", Text, nullable=False),
    Column("start_by", DateTime(timezone=True)),
    Column("run_within_s", Float),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("started_at", DateTime(timezone=True), comment="start of the newest attempt"),
    Column("completed_at", DateTime(timezone=True)),
    Column("outputs", JSONB),
    Column("error", JSONB),
    Column("warnings", JSONB, comment="contracts.scheduler.JobWarning, written at the end"),
    Column("model", Text, comment="chosen for a built-in workflow, like the following columns"),
    Column("seed", Numeric(20, 0), comment="up to 2^64 - 1"),
    Column("seeds", JSONB, comment="contracts.scheduler.DrawnSeed; NULL if no seed was drawn"),
    Column("on_hold", Boolean, nullable=False, server_default="false", comment="held: not counted as queued"),
    Column("retry_of", Uuid, comment="the failed job that this one runs again"),
    Column("request_id", Text, comment="id of the HTTP request that submitted it, for logs"),
    Column("endpoint", Text, comment="endpoint that it was submitted to, or the job that it runs again"),
    Column("avoid_node", Text, comment="node that died while it ran this job: other nodes are preferred"),
    Column("avoid_until", DateTime(timezone=True)),
    Column("passed_over_at", DateTime(timezone=True), comment="when another job was first preferred at its turn"),
    Column("fail_without_outputs", Boolean, nullable=False, server_default="false", comment="as the submission chose"),
    Column("fingerprint", BigInteger, comment="of its workflow: scheduler.domain.workflow_fingerprint"),
    Index(
        "ix_jobs_queue", "tenant_id", text("priority DESC"), "id",
        postgresql_where=text("state = 'queued' AND NOT on_hold"),
    ),
    # For claims. The expression is not the condition of ix_jobs_queue: see scheduler.store.claims.
    Index(
        "ix_jobs_claimable", "tenant_id", "requirement_id", text("priority DESC"), "id",
        postgresql_where=text("CASE WHEN state = 'queued' THEN NOT on_hold END"),
    ),
    Index("ix_jobs_avoid", "avoid_node", postgresql_where=text("state = 'queued' AND avoid_node IS NOT NULL")),
    Index("ix_jobs_held", "tenant_id", postgresql_where=text("state = 'queued' AND on_hold")),
    Index("ix_jobs_active", "id", postgresql_where=text("state IN ('leased', 'running')")),
    Index("ix_jobs_in_vain", "id", postgresql_where=text("state IN ('failed', 'expired', 'cancelled')")),
    # Besides ix_jobs_ended, which retention needs: with only that index, counting the last hour would read all jobs.
    Index("ix_jobs_completed_at", "completed_at", postgresql_where=text("completed_at IS NOT NULL")),
    Index("ix_jobs_failed_at", "completed_at", postgresql_where=text("state IN ('failed', 'expired')")),
    Index("ix_jobs_tenant", "tenant_id", "id"),
    Index("ix_jobs_ended", "tenant_id", "completed_at", postgresql_where=text("completed_at IS NOT NULL")),
    Index("ix_jobs_start_by", "start_by", postgresql_where=text("state = 'queued' AND start_by IS NOT NULL")),
    Index(
        "uq_jobs_idempotency", "tenant_id", "idempotency_key", unique=True,
        postgresql_where=text("idempotency_key IS NOT NULL"),
    ),
)  # fmt: skip

# Which tenants have queued jobs with which requirement, without jobs on hold. Triggers of jobs insert rows, and the
# transition of the last such job deletes its row, both under the tenant's lock.
WAITING_REQUIREMENTS = Table(
    "waiting_requirements",
    METADATA,
    Column("requirement_id", BigInteger, primary_key=True),
    Column("tenant_id", Uuid, primary_key=True),
    Index("ix_waiting_requirements_tenant_id", "tenant_id", "requirement_id"),
    comment="Requirements of the queued jobs of each tenant, so that claims skip jobs that a node cannot run.",
)

# The graph of a job, separate from the row that every transition rewrites.
GRAPHS = Table(
    "graphs",
    METADATA,
    Column("job_id", Uuid, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("graph", JSON, nullable=False),
    Column("inputs", ARRAY(Uuid), nullable=False, server_default="{}", comment="uploads that it names"),
    Column("extra_data", JSON, comment="ComfyUI's extra_data, of keys that the gateway lets pass"),
)

# One row per attempt. A node has at most one live attempt per slot; writes are fenced by the lease token.
ATTEMPTS = Table(
    "attempts",
    METADATA,
    Column("job_id", Uuid, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("node", Text, nullable=False),
    Column("lease_token", Uuid, nullable=False),
    Column("prompt_id", Uuid, nullable=False),
    Column("lease_until", DateTime(timezone=True), nullable=False),
    Column("leased_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("ended_at", DateTime(timezone=True)),
    Column("outcome", Text),
    Column("error", JSONB),
    Column("gpu_seconds", Float),
    Column("cost", Float, nullable=False, comment="GPU-seconds charged at the claim, settled at the end"),
    Column("node_died", Boolean, nullable=False, server_default="false", comment="the node died during it"),
    Column("node_failed", Boolean, nullable=False, server_default="false", comment="the node failed during it"),
    Column("silent_boot_id", Uuid, comment="executor that fell silent; if heard again, its node had not died"),
    Column("slot", SmallInteger, nullable=False, server_default="0", comment="0 to 7, unique among live attempts"),
    Column(
        "prefetched", Boolean, nullable=False, server_default="false",
        comment="claimed while its node had another attempt, and not started; once started, leased_at is the start",
    ),
    Column("loads_models", Boolean, comment="its node had not loaded all models of the job; null: unknown"),
    Column(
        "left_node_at", DateTime(timezone=True),
        comment="when a heartbeat first said that its prompt had ended; its outputs may still be stored",
    ),
    Index("uq_attempts_live_slot", "node", "slot", unique=True, postgresql_where=text("ended_at IS NULL")),
    Index("ix_attempts_prefetched", "leased_at", postgresql_where=text("prefetched AND ended_at IS NULL")),
    CheckConstraint("slot BETWEEN 0 AND 7", name="slot_known"),
    Index("ix_attempts_lease", "lease_until", postgresql_where=text("ended_at IS NULL")),
    Index("ix_attempts_ended_at", "ended_at"),
    Index("ix_attempts_node", "node", "job_id"),
    Index(
        "ix_attempts_faults", "node", text("ended_at DESC"),
        postgresql_where=text("outcome IN ('failed', 'node_fault')"),
    ),
)  # fmt: skip

# Every transition of every job, in order, as websocket, SSE and the read API show it. Append-only.
JOB_EVENTS = Table(
    "job_events",
    METADATA,
    Column("job_id", Uuid, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("event", JSONB, nullable=False),
)

# Idempotency keys of purged jobs, until they are a day old: a repeated request must not create a second job.
SPENT_KEYS = Table(
    "spent_keys",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True),
    Column("idempotency_key", Text, primary_key=True),
    Column("request_hash", Text, nullable=False),
    Column("job_id", Uuid, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False, index=True),
)

# Anonymous statistics of jobs that were purged within a day of their end, kept until that day is over.
PURGED_ENDS = Table(
    "purged_ends",
    METADATA,
    Column("completed_at", DateTime(timezone=True), nullable=False, index=True),
    Column("images", Integer, nullable=False),
    Column("waited_s", Float, comment="null: it never started"),
    Column("failure", Text, comment="its error's code, where it failed or expired"),
)

# All nodes that ever joined, as their executors report them.
NODES = Table(
    "nodes",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("boot_id", Uuid, nullable=False),
    Column("online", Boolean, nullable=False),
    Column("seen_at", DateTime(timezone=True), nullable=False),
    Column("catalog_digest", Text, ForeignKey("catalogs.digest")),
    Column(
        "loaded",
        ARRAY(Text),
        nullable=False,
        server_default="{}",
        comment="models of its last prompt, as Class.input=file",
    ),
    Column("cordoned_at", DateTime(timezone=True), comment="since when it gets no new jobs"),
    Column("cordon_reason", Text, comment="set if the scheduler cordoned it, and not an operator"),
    Column("drain_at", DateTime(timezone=True), comment="when its job is moved to another node"),
    Column(
        "models_noted",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="whether its models at the join are in models_at_join",
    ),
    Column(
        "state_since",
        DateTime(timezone=True),
        comment="since when it is online with its catalog, or offline; null: unknown",
    ),
    Column(
        "shared_since",
        DateTime(timezone=True),
        comment="since when foreign prompts are in its queue; null: there are none",
    ),
    Column("occupied_by", Text, comment="contracts.scheduler.OccupiedBy: why it responds and takes no jobs"),
    Column("occupied_prompt_id", Text, comment="id of the prompt on the node"),
    Column("occupied_since", DateTime(timezone=True)),
    Column(
        "blocked",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="occupied for longer than its executor's bound",
    ),
    Column("clear_at", DateTime(timezone=True), comment="when an operator ordered to clear it; null once done"),
    Column(
        "refresh_at", DateTime(timezone=True), comment="when an operator ordered to refresh its catalog; null once done"
    ),
    Column("system", JSONB, comment="contracts.scheduler.heartbeats.NodeSystem"),
    Column("graph_node", Text, comment="graph node that its attempt runs now"),
    Column("graph_node_class", Text),
)

# Jobs that failed on a node since it last completed one: several in a row show that the node is at fault.
NODE_FAILURES = Table(
    "node_failures",
    METADATA,
    Column("node", Text, primary_key=True),
    Column("job_id", Uuid, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    comment="Jobs that failed on a node since it last completed one.",
)

# Recently replaced catalogs of nodes (trigger keep_replaced_catalog): they count for admission during a grace period.
REPLACED_CATALOGS = Table(
    "replaced_catalogs",
    METADATA,
    Column("node", Text, ForeignKey("nodes.name", ondelete="CASCADE"), primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("replaced_at", DateTime(timezone=True), nullable=False),
    comment="Earlier catalogs of nodes, kept for a short time: a model folder may be empty for a moment.",
)

CATALOGS = Table(
    "catalogs",
    METADATA,
    Column("digest", Text, primary_key=True),
    Column("classes_zlib", LargeBinary, nullable=False),
    Column("reported_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# Models that a node had when it joined. Only these become default models, because no job can have written them.
MODELS_AT_JOIN = Table(
    "models_at_join",
    METADATA,
    Column("node", Text, primary_key=True),
    Column("model", Text, primary_key=True, comment="Class.input=file"),
    comment="Models that a node had when it joined, so that no job can have written them.",
)

# Totals of all jobs by minute (kept for two days) and by hour, for trends. Written once a minute has ended.
TREND_JOBS = Table(
    "trend_jobs",
    METADATA,
    Column("step_s", Integer, primary_key=True, comment="60 or 3600, also in the following tables"),
    Column("at", DateTime(timezone=True), primary_key=True, comment="beginning of the period"),
    Column("submitted", Integer, nullable=False),
    Column("started", Integer, nullable=False, comment="attempts"),
    Column("completed", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("cancelled", Integer, nullable=False),
    Column("images", BigInteger, nullable=False),
    Column("busy_s", Float, nullable=False, comment="seconds in which nodes held an attempt"),
    Column("online_s", Float, nullable=False, comment="seconds in which nodes were online"),
)

# How long jobs waited and ran, as histograms.
TREND_DURATIONS = Table(
    "trend_durations",
    METADATA,
    Column("step_s", Integer, primary_key=True),
    Column("at", DateTime(timezone=True), primary_key=True),
    Column("kind", Text, primary_key=True, comment="wait or run"),
    Column("bin", Integer, primary_key=True, comment="scheduler.domain.durations"),
    Column("jobs", Integer, nullable=False),
)

TREND_FAILURES = Table(
    "trend_failures",
    METADATA,
    Column("step_s", Integer, primary_key=True),
    Column("at", DateTime(timezone=True), primary_key=True),
    Column("code", Text, primary_key=True),
    Column("jobs", Integer, nullable=False),
    Column("job_id", Uuid, index=True, comment="an example; null once that job is deleted"),
)

TREND_NODES = Table(
    "trend_nodes",
    METADATA,
    Column("step_s", Integer, primary_key=True, comment="600 or 3600"),
    Column("at", DateTime(timezone=True), primary_key=True),
    Column("node", Text, primary_key=True),
    Column("started", Integer, nullable=False, comment="attempts, here and below"),
    Column("succeeded", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("faults", Integer, nullable=False),
    Column("busy_s", Float, nullable=False),
    Column("online_s", Float, nullable=False),
)

# Run times of succeeded jobs, for estimates. Capped; the least recently updated rows are deleted first.
RUN_TIMES = Table(
    "run_times",
    METADATA,
    Column("scope", Text, primary_key=True, comment="scheduler.domain.run_times.HistogramScope"),
    Column("id", BigInteger, primary_key=True, comment="fingerprint, requirement, or 0 for the fleet"),
    Column("node_class", Text, primary_key=True, comment="name of the first GPU; empty: unknown, or any GPU"),
    Column("loads_models", Boolean, primary_key=True),
    Column("bins", JSONB, nullable=False, comment="weight by bin of scheduler.domain.durations"),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now(), index=True),
    comment="Run times of succeeded jobs as histograms in which newer runs count more.",
)

# Estimates given for a sample of jobs at submission, until these jobs end.
JOB_ESTIMATES = Table(
    "job_estimates",
    METADATA,
    Column("job_id", Uuid, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now(), index=True),
    Column("start_s", Float, nullable=False, comment="seconds from the submission, also in the following columns"),
    Column("start_p90_s", Float, nullable=False),
    Column("end_s", Float, nullable=False),
    Column("end_p90_s", Float, nullable=False),
    comment="Estimates given for a sample of jobs at submission, until these jobs end.",
)

# How long jobs took, compared with the estimate at their submission, by hour.
ETA_ACCURACY = Table(
    "eta_accuracy",
    METADATA,
    Column("at", DateTime(timezone=True), primary_key=True, comment="beginning of the hour"),
    Column("stage", Text, primary_key=True, comment="start or end"),
    Column("result", Text, primary_key=True, comment="scheduler.domain.eta_accuracy.EtaResult"),
    Column("bin", Integer, primary_key=True, comment="of actual / estimated, as in scheduler.domain.durations"),
    Column("jobs", Integer, nullable=False),
    comment="How long jobs took, compared with the estimate at their submission.",
)

# Messages of executors that can never be handled, for operators. Pruned by age and number.
DEAD_LETTERS = Table(
    "dead_letters",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now(), index=True),
    Column("subject", Text, nullable=False),
    Column("request_id", Text),
    Column("node", Text, nullable=False),
    Column("tenant_id", Uuid, comment="as the message claims", index=True),
    Column("job_id", Uuid, comment="as the message claims", index=True),
    Column("code", Text, nullable=False, comment="of the refusal that it was answered with"),
    Column("reason", Text, nullable=False),
    Column("excerpt", LargeBinary, nullable=False, comment="the first 16 KiB of the message"),
    Column("size_bytes", BigInteger, nullable=False, comment="of the whole message"),
)

# The operators' node class rules, for use while auth is unavailable.
CLASS_RULES = Table(
    "class_rules",
    METADATA,
    Column("one", Boolean, primary_key=True, server_default=text("true"), comment="there is one row"),
    Column("rules", JSONB, nullable=False, comment="contracts.graph_policy.policy.ClassRules"),
    CheckConstraint("one", name="one_row"),
    comment="Operators' rules about node classes, used while auth is unavailable.",
)

OUTBOX = create_outbox_table(METADATA)
