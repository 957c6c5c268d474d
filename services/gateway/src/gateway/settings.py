"""Settings of the gateway."""

import os
import re
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from authn.client_address import parse_networks
from chassis.settings import DatabaseSettings, SecretKeySettings

_EXTRA_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d{1,5})?")


class Settings(DatabaseSettings, SecretKeySettings):
    """Environment variables ``GATEWAY_…``.

    ``SECRET_KEY``, ``RATE_LIMIT_ENABLED``, ``MAX_UPLOAD_SIZE`` and ``UPLOAD_DIR`` also work without the prefix.
    """

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", frozen=True, extra="ignore")
    service: ClassVar[str] = "gateway"

    drain_delay_s: float = Field(
        default=0, ge=0, le=300, description="seconds after SIGTERM to keep serving requests while reporting not ready"
    )
    public_url: str = Field(default="http://127.0.0.1:8000", description="origin that clients see, without a path")
    internal_url: str = Field(default="http://127.0.0.1:8001", description="origin that executors see")
    artifacts_url: str = Field(default="file:///var/lib/comfyfleet/artifacts", description="file:///… or s3://…")
    aws_secret_access_key: SecretStr | None = Field(default=None, description="secret key of the bucket")
    input_link_s: float = Field(
        default=300, gt=0, description="lifetime in seconds of the links through which executors download uploads"
    )
    output_link_s: float = Field(
        default=900, gt=0, description="lifetime in seconds of the links through which executors upload outputs"
    )
    max_output_bytes: int = Field(default=2 << 30, gt=0, description="maximum size of an output in bytes")
    output_idle_s: float = Field(
        default=30, gt=0, description="seconds that an executor may pause while it sends an output"
    )
    max_upload_size: int = Field(
        default=32 << 20, ge=1 << 10, le=64 << 20, description="maximum size of an uploaded image in bytes"
    )
    upload_max_pixels: int = Field(
        default=8192 * 6400, ge=1 << 16, le=1 << 26, description="maximum number of pixels of an uploaded image"
    )
    upload_within_s: float = Field(
        default=20, gt=0, le=60, description="timeout in seconds for re-encoding an uploaded image"
    )
    max_file_bytes: int = Field(
        default=2 << 30,
        ge=1 << 10,
        description="maximum size in bytes of an uploaded file that is not an image, for all tiers",
    )
    upload_days: int | None = Field(
        default=None,
        ge=1,
        le=36_500,
        description="days for which an upload is kept if the user has no limit; unset: forever",
    )
    max_uploads: int = Field(default=1000, ge=1, description="most uploads of one user")
    max_uploads_bytes: int = Field(default=4 << 30, ge=1 << 20, description="most bytes of all uploads of one user")
    uploads_sweep_s: float = Field(default=60, gt=0, description="seconds between deletions of expired uploads")
    orphans_sweep_s: float = Field(
        default=6 * 3600, gt=0, description="seconds between searches for files without a record"
    )
    orphan_age_s: float = Field(
        default=86_400,
        gt=0,
        description="minimum age in seconds of files without a record that are reported or deleted",
    )
    delete_orphans: bool = Field(
        default=False, description="whether files without a record are deleted; otherwise they are only reported"
    )
    min_free_bytes: int = Field(
        default=1 << 30,
        ge=0,
        description="free bytes of the artifact store below which jobs and uploads are refused; "
        "outputs of accepted jobs may use half of it",
    )
    store_check_s: float = Field(
        default=5, gt=0, description="seconds between checks of the artifact store's free space and identity"
    )
    rate_limit_enabled: bool = Field(default=True, description="whether request rates are limited")
    login_per_minute: int = Field(default=30, ge=1, description="logins and refreshes per minute from one address")
    register_per_hour: int = Field(
        default=5, ge=1, description="registrations per hour from one address (IPv6: one /64)"
    )
    register_network_per_hour: int = Field(
        default=20, ge=1, description="registrations per hour from one network (IPv4 /24, IPv6 /48)"
    )
    open_per_minute: int = Field(
        default=120, ge=1, description="requests per minute without a valid credential from one address"
    )
    trusted_proxies: str | None = Field(
        default=None,
        description="addresses and CIDR blocks of proxies whose X-Forwarded-For is trusted, comma separated",
    )
    cors_origins: str | None = Field(
        default=None, description="web origins that may call this API (CORS), comma separated: https://app.example"
    )
    docs_public: bool = Field(default=False, description="whether /docs and /openapi.json are served")
    console_dir: Path | None = Field(
        default=None,
        description="folder of the built web console; unset: the one of the image, else the page says how to build it",
    )
    remains_every_s: float = Field(
        default=30, gt=0, description="seconds between searches for leftovers of purged jobs"
    )
    picture_max_pixels: int = Field(
        default=4096 * 4096, ge=1 << 16, le=1 << 26, description="most pixels of an output that is converted"
    )
    picture_within_s: float = Field(default=5, gt=0, le=60, description="timeout in seconds for converting an image")
    pictures_at_once: int = Field(default=2, ge=1, le=64, description="concurrent image conversions, one process each")
    usage_flush_s: float = Field(
        default=5,
        gt=0,
        le=60,
        description="seconds between writes of request counts; a crash loses unwritten counts",
    )
    extra_data_keys: str | None = Field(
        default=None,
        description="allowed keys of extra_data besides extra_pnginfo and preview_method, comma separated; "
        "api_key_comfy_org and auth_token_comfy_org are secrets that are stored with the job",
    )
    models_cache_s: float = Field(default=10, ge=0, description="seconds for which the default model is cached")

    @field_validator("public_url", "internal_url")
    @classmethod
    def _check_origin(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError("Use an http:// or https:// URL.")
        return url.rstrip("/")

    @field_validator("trusted_proxies")
    @classmethod
    def _check_networks(cls, text: str | None) -> str | None:
        parse_networks(text or "")
        return text

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, text: str | None) -> str | None:
        for origin in filter(None, (text or "").split(",")):
            if not _ORIGIN.fullmatch(origin.strip()):
                raise ValueError(
                    "Use comma-separated origins such as https://app.example or http://localhost:3000, "
                    "without a path or *."
                )
        return text

    @field_validator("extra_data_keys")
    @classmethod
    def _normalize_extra_data_keys(cls, text: str | None) -> str | None:
        names = [name.strip() for name in (text or "").split(",") if name.strip()]
        if any(not _EXTRA_KEY.fullmatch(name) for name in names):
            raise ValueError("Use comma-separated names of letters, digits and _, which begin with a letter.")
        return ",".join(names) or None

    @model_validator(mode="before")
    @classmethod
    def _accept_old_names(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Accept ``UPLOAD_DIR`` and ``MAX_UPLOAD_SIZE`` without prefix."""
        folder, size = os.environ.get("UPLOAD_DIR"), os.environ.get("MAX_UPLOAD_SIZE")
        if folder and not values.get("artifacts_url"):
            values["artifacts_url"] = Path(os.path.abspath(folder)).as_uri()  # noqa: PTH100 - Path.resolve follows links
        if size and not values.get("max_upload_size"):
            values["max_upload_size"] = size
        return values
