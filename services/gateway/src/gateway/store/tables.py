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
    Column("key", Text, nullable=False, comment="key of the object in the artifact store"),
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
    Column("single", Boolean, primary_key=True, server_default=true(), comment="ensures that there is at most one row"),
    Column("store_id", Uuid, nullable=False, comment="id in the store's marker"),
    Column(
        "confirmed_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.now(),
        comment="when store and database last agreed; copied to the marker, so that a restored database is recognized",
    ),
    Column(
        "swept_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.now(),
        comment="start of the last sweep of any gateway",
    ),
    Column("reported_at", DateTime(timezone=True), comment="time of the last report of a sweep; null without one"),
    Column("objects", BigInteger, comment="uploads and outputs in the store"),
    Column("orphans", BigInteger, comment="old objects without a record"),
    Column("orphan_bytes", BigInteger),
    Column("sample", ARRAY(Text), comment="keys of some orphans"),
    Column("approved", BigInteger, comment="number of orphans that an admin allows the next sweep to delete"),
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
    Column(
        "with_inputs",
        Boolean,
        nullable=False,
        server_default=false(),
        comment="the uploads that only this job used are deleted, too",
    ),
    Column("is_pending", Boolean, nullable=False, server_default=false(), comment="its data is not deleted yet"),
    Index("ix_purged_jobs_pending", "job_id", postgresql_where=text("is_pending")),
    comment="Purged jobs: late messages about them are ignored. Kept longer than any message can take.",
)

RATE_BUCKETS = Table(
    "rate_buckets",
    METADATA,
    Column("key", Text, primary_key=True, comment="endpoint class, colon, client"),
    Column("tokens", Double, nullable=False, comment="tokens that were left at that time"),
    Column("capacity", Double, nullable=False),
    Column("taken", Double, nullable=False, comment="tokens that the last statement took; only its RETURNING reads it"),
    Column("at", DateTime(timezone=True), nullable=False),
    comment="Updated often and in place: no other index, and free space on each page. If lost, all buckets are full.",
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
    Column("graph", Text, nullable=False, comment="JSON as it was sent: jsonb would reorder its keys"),
    Column("parameters", Text, nullable=False, comment="JSON: what each parameter sets, and its valid values"),
    Column("digest", Text, nullable=False, comment="SHA-256 of the content, hex"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    UniqueConstraint("tenant_id", "name", "version"),
    CheckConstraint("version >= 1", name="version_counts_from_one"),
    comment="Each version is written once. A workflow is deleted with all its versions.",
)

JOB_SHARES = Table(
    "job_shares",
    METADATA,
    Column("tenant_id", Uuid, primary_key=True, comment="owner of the job"),
    Column("job_id", Uuid, primary_key=True),
    Column("token_sha256", Text, nullable=False, unique=True, comment="SHA-256 of the token, hex"),
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
    Column("sent_sha256", Text, nullable=False, comment='SHA-256 of the bytes as sent and of the option "exact", hex'),
    Column("sha256", Text, nullable=False, comment="SHA-256 of the stored bytes, hex"),
    Column("key", Text, nullable=False, comment="key of the object in the artifact store"),
    Column("content_type", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("width", Integer, comment="of an image, pixels"),
    Column("height", Integer),
    Column("exact", Boolean, nullable=False, server_default=false(), comment="the bytes are those that were sent"),
    Column("source_job_id", Uuid, comment="of a copy of an output: the job that produced it"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("expires_at", DateTime(timezone=True), nullable=True, comment="null: never"),
    UniqueConstraint("tenant_id", "sent_sha256"),
    CheckConstraint("size_bytes > 0", name="size_is_positive"),
    CheckConstraint("length(sha256) = 64", name="sha256_is_hex"),
    CheckConstraint("length(sent_sha256) = 64", name="sent_sha256_is_hex"),
    Index("ix_uploads_tenant_id_id", "tenant_id", "id"),
    Index("ix_uploads_expires_at_id", "expires_at", "id"),
    Index("ix_uploads_source_job_id", "source_job_id", postgresql_where=text("source_job_id IS NOT NULL")),
    comment="A row is written after its bytes are durable, and deleted before its bytes.",
)

UPLOAD_USES = Table(
    "upload_uses",
    METADATA,
    Column("upload_id", Uuid, ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True),
    Column("job_id", Uuid, primary_key=True),
    Column("pinned_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("ended_at", DateTime(timezone=True), nullable=True, comment="when the sweep found that the job had ended"),
    Index("ix_upload_uses_job_id", "job_id"),
    comment="Jobs that use an upload. Written before the job is submitted; the upload is kept until the job has ended.",
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
    comment="Batches that were added to usage_requests, so that none is added twice. Deleted after an hour.",
)

DEAD_LETTERS = create_dead_letters_table(METADATA)
