from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from auth.domain.class_rules import parse_names
from chassis.settings import DatabaseSettings, SecretKeySettings
from contracts.auth.accounts import Registration
from contracts.graph_policy.policy import ClassRules


class Settings(DatabaseSettings, SecretKeySettings):
    """Settings of the auth service, read from the environment."""

    model_config = SettingsConfigDict(env_prefix="AUTH_", frozen=True, extra="ignore")
    service: ClassVar[str] = "auth"

    key_days: int = Field(
        default=90, ge=1, le=366, description="lifetime in days of an API key that is created without an expiry"
    )
    access_token_expire_minutes: int = Field(
        default=15, ge=1, le=15, description="lifetime of an access token, minutes"
    )
    refresh_token_days: int = Field(
        default=30, ge=1, le=90, description="lifetime in days of a session, however often it is refreshed"
    )
    refresh_token_idle_days: int = Field(
        default=7, ge=1, le=90, description="lifetime in days of a session that is not refreshed"
    )
    refresh_grace_s: float = Field(
        default=10, ge=0, le=10, description="seconds for which the last used refresh token may be used again"
    )
    signing_key_days: int = Field(
        default=30, ge=1, le=366, description="days for which a key is used to sign access tokens"
    )
    password_min_length: int = Field(
        default=15, ge=8, le=64, description="minimum number of characters of a new password"
    )
    hashing_threads: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="passwords hashed at the same time; unset: one less than the number of cores",
    )
    hashing_queue: int = Field(default=16, ge=0, le=1000, description="logins that may wait for one of these threads")
    keys_per_user: int = Field(default=100, ge=1, le=100, description="working API keys that a user may have")
    registration: Registration = Field(
        default=Registration.OPEN,
        description="who may register: open (everybody), invite (only with an invite) or closed (nobody)",
    )
    shared_quota_days: int = Field(
        default=0,
        ge=0,
        le=366,
        description="accounts registered from one address within this many days share one free image quota; 0: none do",
    )
    audit_days: int | None = Field(
        default=None,
        ge=1,
        le=36_500,
        description="days for which an audit log entry stays in the database; unset: forever",
    )
    audit_archive: Path | None = Field(
        default=None, description="folder for files of older entries, required with audit_days; shared by all replicas"
    )
    allowed_classes: str | None = Field(
        default=None, description="node classes that everybody may use, comma-separated"
    )
    denied_classes: str | None = Field(default=None, description="node classes that nobody may use, comma-separated")
    allowed_packs: str | None = Field(default=None, description="node packs that everybody may use, comma-separated")
    denied_packs: str | None = Field(default=None, description="node packs that nobody may use, comma-separated")

    @field_validator(*ClassRules.model_fields)
    @classmethod
    def _check_names(cls, text: str | None) -> str | None:
        parse_names(text)
        return text

    @model_validator(mode="after")
    def _require_archive_folder(self) -> Self:
        if self.audit_days is not None and self.audit_archive is None:
            raise ValueError(
                "AUTH_AUDIT_DAYS needs AUTH_AUDIT_ARCHIVE: entries are written there before they are deleted."
            )
        return self

    @property
    def class_rules(self) -> ClassRules:
        """Node class rules that no admin can remove."""
        return ClassRules.model_validate({name: parse_names(getattr(self, name)) for name in ClassRules.model_fields})
