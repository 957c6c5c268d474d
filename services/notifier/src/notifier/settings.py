from typing import ClassVar

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from authn.client_address import parse_networks
from chassis.settings import DatabaseSettings


class Settings(DatabaseSettings):
    """Settings of the notifier, read from ``NOTIFIER_…``."""

    model_config = SettingsConfigDict(env_prefix="NOTIFIER_", frozen=True, extra="ignore")
    service: ClassVar[str] = "notifier"

    drain_delay_s: float = Field(
        default=0,
        ge=0,
        le=300,
        description="seconds after SIGTERM to keep serving WebSockets while reporting not ready",
    )
    auth_wait_s: float = Field(default=10, gt=0, description="seconds that a client may take to send its credential")
    handshakes_per_minute: int = Field(
        default=600, ge=1, description="WebSocket handshakes per minute from one address"
    )
    trusted_proxies: str | None = Field(
        default=None,
        description="addresses and CIDR blocks of proxies whose X-Forwarded-For is trusted, comma separated",
    )
    send_timeout_s: float = Field(
        default=5, gt=0, description="timeout in seconds for sending a frame; a slower client is disconnected"
    )
    reread_s: float = Field(default=3, gt=0, description="seconds between reads of a watched job")
    keep_days: float = Field(default=3, gt=0, description="days for which events are kept for clients that reconnect")

    @field_validator("trusted_proxies")
    @classmethod
    def _check_networks(cls, text: str | None) -> str | None:
        parse_networks(text or "")
        return text
