"""SQLAlchemy tables of auth's database."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from chassis.database.postgres import new_metadata

METADATA = new_metadata()

TIERS = Table(
    "tiers",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("images_per_day", Integer, comment="null: unlimited, also in the following columns"),
    Column("max_running", Integer),
    Column("queue_cap", Integer),
    Column("weight", Float, nullable=False),
    Column("requests_per_minute", Integer),
    Column("result_days", Integer, comment="how long an ended job is kept"),
    Column("upload_days", Integer, comment="how long an upload that no job uses is kept"),
    Column("graph_policy", Text, nullable=False, server_default="strict", comment="strict or open"),
    Column("graph_nodes", Integer),
    Column("graph_text_bytes", BigInteger),
    Column("graph_pixels", BigInteger, comment="pixels of one image times its batch size"),
    Column("graph_steps", Integer),
    Column("graph_pixel_steps", BigInteger),
    Column("run_seconds", Float, comment="run time of one attempt"),
    Column("gpu_seconds_per_day", Float),
    Column("result_bytes", BigInteger, comment="total size of the stored outputs"),
    Column("upload_bytes", BigInteger, comment="size of one uploaded file that is not an image"),
    Column("start_seconds", Float, comment="how long a job may wait for its first attempt"),
)

CLASS_RULES = Table(
    "class_rules",
    METADATA,
    Column("kind", Text, primary_key=True, comment="class or pack"),
    Column("name", Text, primary_key=True),
    Column("verdict", Text, nullable=False, comment="allow or deny"),
    Column("changed_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    comment="What operators decided about node classes and packs, for every tenant.",
)

INVITES = Table(
    "invites",
    METADATA,
    Column("digest", LargeBinary, primary_key=True, comment="SHA-256 of 256 random bits"),
    Column("id", Uuid, nullable=False, unique=True),
    Column("tier", Text, ForeignKey("tiers.name"), nullable=False),
    Column("created_by", Uuid, comment="the admin who created it"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("expires_at", DateTime(timezone=True), nullable=False, index=True),
    Column("used_by", Uuid, comment="the account that was created with it; null while it is unused"),
    Column("used_at", DateTime(timezone=True)),
    comment="Each lets one person register while registration is by invitation.",
)

USERS = Table(
    "users",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("username", Text, nullable=False, unique=True),
    Column("email", Text, nullable=False, unique=True),
    Column("password_hash", Text, comment="argon2id, or bcrypt until the next login; null: this user cannot log in"),
    Column("role", Text, nullable=False),
    Column("tier", Text, ForeignKey("tiers.name"), nullable=False),
    Column("limits", JSONB, comment="the user's own limits by name; they override those of the tier"),
    Column("is_active", Boolean, nullable=False, server_default="true"),
    Column("version", BigInteger, nullable=False, server_default="1", comment="increases with every published change"),
    Column(
        "tokens_from",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="access tokens of a lower version are invalid",
    ),
    Column("failed_logins", Integer, nullable=False, server_default="0", comment="consecutive failed logins"),
    Column("failed_login_at", DateTime(timezone=True), comment="time of the last failed login"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column(
        "erased_at", DateTime(timezone=True), comment="when the account was erased; since then the row has only the id"
    ),
    Column("quota_group", Uuid, comment="users of one group share a daily image quota; null: its own"),
    Index("uq_users_lower_username", text("lower(username)"), unique=True),
    Index("uq_users_lower_email", text("lower(email)"), unique=True),
)

QUOTA_GROUPS = Table(
    "quota_groups",
    METADATA,
    Column("digest", LargeBinary, primary_key=True, comment="HMAC-SHA-256 of an address, never the address"),
    Column("id", Uuid, nullable=False, comment="users.quota_group"),
    Column("began_at", DateTime(timezone=True), nullable=False, server_default=func.now(), index=True),
    comment="Accounts that register from one address within a certain time join the same group.",
)

API_KEYS = Table(
    "api_keys",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("digest", LargeBinary, nullable=False, comment="HMAC-SHA-256; the key itself is never kept"),
    Column("pepper_id", Text, comment="identifies the SECRET_KEY of the digest; null: not known, since the key is old"),
    Column("name", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    Column("last_used_at", DateTime(timezone=True), comment="updated now and then, not at every use"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

KEY_REQUESTS = Table(
    "key_requests",
    METADATA,
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("idempotency_key", Text, primary_key=True),
    Column("request_hash", LargeBinary, nullable=False, comment="SHA-256 of the request"),
    Column(
        "salt",
        LargeBinary,
        nullable=False,
        comment="derives the secret again, together with the pepper; deleted after a day",
    ),
    Column("key_id", Text, ForeignKey("api_keys.id", ondelete="CASCADE"), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now(), index=True),
    comment="The API key that was created with an Idempotency-Key, kept for 24 hours.",
)

SESSIONS = Table(
    "sessions",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column(
        "generation",
        Integer,
        nullable=False,
        server_default="1",
        comment="generation of the refresh tokens that are valid",
    ),
    Column("rotated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column(
        "expires_at",
        DateTime(timezone=True),
        nullable=False,
        comment="end of the session, however often it is refreshed",
    ),
    Column("ended_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("user_agent", Text, comment="of the login or the last refresh, at most 200 characters"),
    Column("ip", Text, comment="of the login or the last refresh"),
    comment="One login, and the refresh tokens that were issued for it.",
)

LOGIN_LINKS = Table(
    "login_links",
    METADATA,
    Column("digest", LargeBinary, primary_key=True, comment="SHA-256 of 256 random bits"),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("created_by", Uuid, comment="the admin who created it; null: the command line"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("expires_at", DateTime(timezone=True), nullable=False, index=True),
    comment="Unused login links. A link is deleted when it is used, or a day after it has expired.",
)

REFRESH_TOKENS = Table(
    "refresh_tokens",
    METADATA,
    Column("digest", LargeBinary, primary_key=True, comment="HMAC-SHA-256; the token itself is never kept"),
    Column("session_id", Uuid, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("generation", Integer, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

WS_TICKETS = Table(
    "ws_tickets",
    METADATA,
    Column("digest", LargeBinary, primary_key=True, comment="SHA-256 of 256 random bits"),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("key_id", Text, comment="the API key that requested the ticket, or else the session"),
    Column("session_id", Uuid),
    Column("principal", JSONB, nullable=False, comment="contracts.auth.Principal"),
    Column("origin", Text, comment="origin of the pages that may use it; null: no page may use it"),
    Column("expires_at", DateTime(timezone=True), nullable=False, index=True),
    comment="Unused tickets. A ticket is deleted when it opens a websocket, or 30 seconds after its creation.",
)

ERASURES = Table(
    "erasures",
    METADATA,
    Column("number", BigInteger, Identity(), primary_key=True, comment="drawn under a lock: it follows the commits"),
    Column("tenant_id", Uuid, nullable=False, unique=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    comment="Erased accounts, kept forever: a service that was stopped or restored from a backup reads all of them.",
)

SIGNING_KEYS = Table(
    "signing_keys",
    METADATA,
    Column("kid", Text, primary_key=True),
    Column("public_key", LargeBinary, nullable=False, comment="Ed25519, 32 bytes"),
    Column("private_key", LargeBinary, nullable=False, comment="AES-256-GCM under a key from SECRET_KEY"),
    Column(
        "signs_from", DateTime(timezone=True), nullable=False, comment="services know the public key before this time"
    ),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    comment="The newest key whose signs_from has passed signs. Older keys verify until their last token has expired.",
)

CHANGES = Table(
    "changes",
    METADATA,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("body", JSONB, nullable=False, comment="contracts.auth.UserChanged"),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now(), index=True),
    comment="Changes of users, kept for a day, so that services that missed the message can read them.",
)

AUDIT_LOG = Table(
    "audit_log",
    METADATA,
    Column("id", BigInteger, primary_key=True, comment="1, 2, 3: without a gap"),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("action", Text, nullable=False, comment="noun.verb, as in session.opened"),
    Column("actor_id", Uuid, comment="who did it; null if unknown"),
    Column("subject_id", Uuid, comment="the account that the action is about"),
    Column("ip", Text),
    Column("request_id", Text),
    Column("detail", JSONB, nullable=False, server_default="{}"),
    Column("hash", LargeBinary, nullable=False, comment="SHA-256 of the previous hash and this row"),
    Index("ix_audit_log_subject_id", "subject_id", "id"),
    Index("ix_audit_log_actor_id", "actor_id", "id"),
    Index("ix_audit_log_action", "action", "id"),
    Index("ix_audit_log_at", "at"),
    comment="Append-only: triggers refuse UPDATE, TRUNCATE, and DELETE of entries without an archive. No foreign keys.",
)

AUDIT_ARCHIVES = Table(
    "audit_archives",
    METADATA,
    Column("last_id", BigInteger, primary_key=True, autoincrement=False, comment="of the newest entry in it"),
    Column("last_hash", LargeBinary, nullable=False, comment="hash of that entry; the next entry is chained to it"),
    Column("first_id", BigInteger, nullable=False),
    Column("file", Text, nullable=False, comment="its name in AUTH_AUDIT_ARCHIVE"),
    Column("sha256", LargeBinary, nullable=False, comment="of the file"),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    comment="Files of entries that were removed from audit_log. Append-only.",
)
