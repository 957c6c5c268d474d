"""Settings of a service, loaded once from its environment."""

from typing import Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, FilePath, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from chassis.messaging.servers import TlsFiles, parse_servers


class UnprefixedEnvSource(EnvSettingsSource):
    """Loads the few settings that also have a name without prefix, shared by all services."""

    NAMES: ClassVar[frozenset[str]] = frozenset(
        {
            "nats_url",
            "nats_ca",
            "nats_cert",
            "nats_key",
            "stream_replicas",
            "metrics_host",
            "metrics_port",
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
        """Return the values of names without prefix."""
        found = super().__call__()
        return {name: value for name, value in found.items() if name in self.NAMES}


class ServiceSettings(BaseSettings):
    """Settings of every service. Each name has the service's prefix: ``AUTH_PORT``."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    host: str = "127.0.0.1"
    port: int = 0
    metrics_host: str = Field(default="127.0.0.1", description="address on which metrics are served")
    metrics_port: int = Field(default=0, ge=0, le=65535, description="port of the metrics; 0 takes a free one")
    log_level: str = "INFO"
    nats_url: str = "nats://127.0.0.1:4222"
    nats_user: str | None = None
    nats_password: SecretStr | None = None
    nats_ca: FilePath | None = Field(default=None, description="certificates that sign those of the NATS servers")
    nats_cert: FilePath | None = Field(default=None, description="client certificate for NATS")
    nats_key: FilePath | None = Field(default=None, description="key of the client certificate")

    @field_validator("nats_url")
    @classmethod
    def _check_nats_url(cls, text: str) -> str:
        parse_servers(text)
        return text

    @model_validator(mode="after")
    def _check_nats_tls(self) -> "ServiceSettings":
        if (self.nats_cert is None) != (self.nats_key is None):
            raise ValueError("NATS_CERT and NATS_KEY belong together. Set both or none.")
        if self.nats_ca is not None or self.nats_cert is not None:
            try:
                self.nats_tls.context()
            except OSError as error:
                raise ValueError(f"NATS_CA, NATS_CERT or NATS_KEY is not a valid PEM file: {error.strerror}.") from None
        return self

    @property
    def nats_tls(self) -> TlsFiles:
        """The files for TLS connections to NATS."""
        return TlsFiles(self.nats_ca, self.nats_cert, self.nats_key)

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

    ``DATABASE_URL`` without a prefix is the default of all services: the path is replaced by the service's name.
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
