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
        default=0, ge=0, le=300, description="how long sockets are still served, but not ready, after SIGTERM, seconds"
    )
    auth_wait_s: float = Field(
        default=10, gt=0, description="how long a socket may take to say its credential, seconds"
    )
    handshakes_per_minute: int = Field(default=600, ge=1, description="of one address, at once and after that")
    trusted_proxies: str | None = Field(
        default=None, description="addresses and CIDR blocks whose X-Forwarded-For is believed, comma separated"
    )
    send_timeout_s: float = Field(default=5, gt=0, description="a viewer that takes no frame for so long is cut off")
    reread_s: float = Field(default=3, gt=0, description="pause between two looks at a watched job, seconds")
    keep_days: float = Field(default=3, gt=0, description="how long events are kept to be replayed")

    @field_validator("trusted_proxies")
    @classmethod
    def _check_networks(cls, text: str | None) -> str | None:
        parse_networks(text or "")
        return text
