"""Settings of a service: its environment, and nothing else, read once."""

from typing import Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict


class UnprefixedEnvSource(EnvSettingsSource):
    """The few settings that also go by a plain name, for all services at once."""

    NAMES: ClassVar[frozenset[str]] = frozenset(
        {
            "nats_url",
            "secret_key",
            "log_level",
            "database_url",
            "comfyui_url",
            "rate_limit_enabled",
            "access_token_expire_minutes",
        }
    )

    def __init__(self, settings: type[BaseSettings]) -> None:
        super().__init__(settings, env_prefix="")

    def __call__(self) -> dict[str, Any]:
        """The values found under plain names."""
        found = super().__call__()
        return {name: value for name, value in found.items() if name in self.NAMES}


class ServiceSettings(BaseSettings):
    """What every service needs to be told. Each name carries the service's prefix: ``AUTH_PORT``."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    host: str = "127.0.0.1"
    port: int = 0
    log_level: str = "INFO"
    nats_url: str = "nats://127.0.0.1:4222"
    nats_user: str | None = None
    nats_password: SecretStr | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, UnprefixedEnvSource(settings_cls)


class DatabaseSettings(ServiceSettings):
    """Settings of a service with a database of its own.

    ``DATABASE_URL`` without a prefix is the base of all of them: its path is replaced by the service's name.
    """

    service: ClassVar[str]

    database_url: SecretStr
    database_pool: int = Field(default=10, ge=1, le=100, description="connections kept open")

    @model_validator(mode="before")
    @classmethod
    def _own_database(cls, values: dict[str, Any]) -> dict[str, Any]:
        url = values.get("database_url")
        if isinstance(url, str) and urlsplit(url).path in {"", "/"}:
            parts = urlsplit(url)
            values["database_url"] = urlunsplit(parts._replace(path=f"/{cls.service}"))
        return values
