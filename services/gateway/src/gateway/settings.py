"""Every knob of the gateway."""

import os
from typing import Any, ClassVar

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from chassis.settings import DatabaseSettings


class Settings(DatabaseSettings):
    """Environment of the gateway, ``GATEWAY_…``; ``SECRET_KEY`` and ``UPLOAD_DIR`` also go by their plain names."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", frozen=True, extra="ignore")
    service: ClassVar[str] = "gateway"

    public_url: str = Field(default="http://127.0.0.1:8000", description="origin that clients see, without a path")
    internal_url: str = Field(default="http://127.0.0.1:8001", description="origin that executors see")
    secret_key: SecretStr = Field(description="seeds the keys of cursors and upload links; the same on all replicas")
    artifacts_url: str = Field(default="file:///var/lib/comfyfleet/artifacts", description="file:///… or s3://…")
    upload_link_s: float = Field(default=900, gt=0, description="how long an executor may use an upload link, seconds")
    max_output_bytes: int = Field(default=2 << 30, gt=0, description="largest output, bytes; a minute of raw video")
    upload_idle_s: float = Field(default=30, gt=0, description="longest pause inside an upload, seconds")
    credential_cache_s: float = Field(
        default=5,
        gt=0,
        description="how long auth's word about a key is believed, seconds: the longest that a revoked one works",
    )
    models_cache_s: float = Field(default=10, ge=0, description="how old the default model may be, seconds")

    @field_validator("public_url", "internal_url")
    @classmethod
    def _origin(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError("an http:// or https:// URL")
        return url.rstrip("/")

    @model_validator(mode="before")
    @classmethod
    def _upload_dir(cls, values: dict[str, Any]) -> dict[str, Any]:
        """The old plan's name of the local artifact directory."""
        folder = os.environ.get("UPLOAD_DIR")
        if folder and not values.get("artifacts_url"):
            values["artifacts_url"] = f"file://{os.path.abspath(folder)}"  # noqa: PTH100 - Path.resolve follows links
        return values
