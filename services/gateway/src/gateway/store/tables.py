from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    false,
    func,
    text,
    true,
)

from chassis.database.postgres import new_metadata
from chassis.messaging.dead_letters import create_dead_letters_table

METADATA = new_metadata()

ARTIFACTS = Table(
    "artifacts",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("job_id", Uuid, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("key", Text, nullable=False, comment="where the bytes lie in the artifact store"),
    Column("content_type", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("size_bytes >= 0", name="size_is_not_negative"),
    CheckConstraint("length(sha256) = 64", name="sha256_is_hex"),
    Index("ix_artifacts_tenant_id_job_id", "tenant_id", "job_id"),
    Index("ix_artifacts_job_id", "job_id"),
    comment="Written after the bytes are durable, read for every download, kept as long as the bytes.",
)

ARTIFACT_STORE = Table(
    "artifact_store",
    METADATA,
    Column("single", Boolean, primary_key=True, server_default=true(), comment="there is one row at most"),
    Column("store_id", Uuid, nullable=False, comment="the store's marker has the same"),
    Column(
        "confirmed_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.now(),
        comment="when both last agreed; copied to the marker, so that a restored database is recognized",
    ),
    Column(
        "swept_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.now(),
        comment="start of the last sweep of any gateway",
    ),
    Column("reported_at", DateTime(timezone=True), comment="of the last sweep's report; null without one"),
    Column("objects", BigInteger, comment="uploads and outputs in the store"),
    Column("orphans", BigInteger, comment="old ones of them without a record"),
    Column("orphan_bytes", BigInteger),
    Column("sample", ARRAY(Text), comment="keys of some orphans"),
    Column("approved", BigInteger, comment="orphans that an admin allowed the next sweep to delete"),
    Column("approved_at", DateTime(timezone=True)),
    CheckConstraint("single", name="one_row"),
    comment="Which artifact store belongs to this database.",
)

PURGED_JOBS = Table(
    "purged_jobs",
    METADATA,
    Column("job_id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now(), index=True),
    comment="Of whom nothing is taken any more; kept for longer than anything of theirs can be on its way.",
)

RATE_BUCKETS = Table(
    "rate_buckets",
    METADATA,
    Column("key", Text, primary_key=True, comment="endpoint class, colon, whose"),
    Column("tokens", Double, nullable=False, comment="that were left at that time"),
    Column("capacity", Double, nullable=False),
    Column("taken", Double, nullable=False, comment="by the last draw; only its own RETURNING reads it"),
    Column("at", DateTime(timezone=True), nullable=False),
    comment="Written often and in place: no further index, and room on each page. May be lost: all start full.",
    postgresql_with={"fillfactor": "50"},
)

WORKFLOWS = Table(
    "workflows",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("description", Text, nullable=True),
    Column("graph", Text, nullable=False, comment="JSON as it was sent: jsonb would turn its keys about"),
    Column("parameters", Text, nullable=False, comment="JSON: name to what it sets and may be"),
    Column("digest", Text, nullable=False, comment="SHA-256 of all that was sent, hex"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    UniqueConstraint("tenant_id", "name", "version"),
    CheckConstraint("version >= 1", name="version_counts_from_one"),
    comment="Each version is written once; a workflow is deleted whole.",
)

JOB_SHARES = Table(
    "job_shares",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True, comment="owner of the job"),
    Column("job_id", Uuid, primary_key=True),
    Column("token_sha256", Text, nullable=False, unique=True, comment="hex"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    CheckConstraint("length(token_sha256) = 64", name="token_sha256_is_hex"),
    Index("ix_job_shares_job_id", "job_id"),
    Index("ix_job_shares_expires_at", "expires_at"),
    comment="Jobs that other users of the fleet may read, one row per job.",
)

UPLOADS = Table(
    "uploads",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("sent_sha256", Text, nullable=False, comment="of the bytes as they were sent and how, hex"),
    Column("sha256", Text, nullable=False, comment="of the bytes that are kept, hex"),
    Column("key", Text, nullable=False, comment="where the bytes lie in the artifact store"),
    Column("content_type", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("width", Integer, comment="of an image, pixels"),
    Column("height", Integer),
    Column("exact", Boolean, nullable=False, server_default=false(), comment="the bytes are those that were sent"),
    Column("source_job_id", Uuid, comment="of a copy of an output: the job that made it"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("expires_at", DateTime(timezone=True), nullable=True, comment="null: never"),
    UniqueConstraint("tenant_id", "sent_sha256"),
    CheckConstraint("size_bytes > 0", name="size_is_positive"),
    CheckConstraint("length(sha256) = 64", name="sha256_is_hex"),
    CheckConstraint("length(sent_sha256) = 64", name="sent_sha256_is_hex"),
    Index("ix_uploads_tenant_id_id", "tenant_id", "id"),
    Index("ix_uploads_expires_at_id", "expires_at", "id"),
    Index("ix_uploads_source_job_id", "source_job_id", postgresql_where=text("source_job_id IS NOT NULL")),
    comment="Written after the bytes are durable, deleted before they go.",
)

UPLOAD_USES = Table(
    "upload_uses",
    METADATA,
    Column("upload_id", Uuid, ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True),
    Column("job_id", Uuid, primary_key=True),
    Column("pinned_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("ended_at", DateTime(timezone=True), nullable=True, comment="when it was seen that the job had ended"),
    Index("ix_upload_uses_job_id", "job_id"),
    comment="Which jobs use an upload. Written before the job is submitted; until it has ended, the upload stays.",
)

USAGE_REQUESTS = Table(
    "usage_requests",
    METADATA,
    Column("user_id", Uuid, primary_key=True),
    Column("day", Date, primary_key=True, comment="UTC"),
    Column("endpoint", Text, primary_key=True, comment="method and template of the path"),
    Column("requests", BigInteger, nullable=False),
    Index("ix_usage_requests_day", "day"),
    comment="Added to every few seconds by each replica, kept for 90 days.",
)

USAGE_BATCHES = Table(
    "usage_batches",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("added_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    comment="What was added to usage_requests, so that nothing is added twice; forgotten after an hour.",
)

DEAD_LETTERS = create_dead_letters_table(METADATA)
