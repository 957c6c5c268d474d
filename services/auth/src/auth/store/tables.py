"""The tables of auth's database."""

from sqlalchemy import (
    ARRAY,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

from chassis.postgres import new_metadata

METADATA = new_metadata()

TIERS = Table(
    "tiers",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("images_per_day", Integer, comment="null: unlimited, here and below"),
    Column("max_running", Integer),
    Column("queue_cap", Integer),
    Column("weight", Float, nullable=False),
    Column("requests_per_minute", Integer),
)

USERS = Table(
    "users",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("username", Text, nullable=False, unique=True),
    Column("email", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("tier", Text, ForeignKey("tiers.name"), nullable=False),
    Column("limits", JSONB, comment="own limits of this user, by name, over the tier's"),
    Column("is_active", Boolean, nullable=False, server_default="true"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

API_KEYS = Table(
    "api_keys",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("digest", LargeBinary, nullable=False, comment="HMAC-SHA-256; the key itself is never kept"),
    Column("name", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
