"""Settings of a service, loaded once from its environment."""

from typing import Any, ClassVar, Self

from pydantic import Field, FilePath, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from chassis.database.url import DatabaseUrl


class UnprefixedEnvSource(EnvSettingsSource):
    """Loads the few settings that also have a name without prefix, shared by all services."""

    NAMES: ClassVar[frozenset[str]] = frozenset(
        {
            "nats_url",
            "metrics_host",
            "metrics_port",
            "secret_key",
            "log_level",
            "database_url",
            "database_ca",
            "listen_url",
            "start_within_s",
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

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    host: str = "127.0.0.1"
    port: int = 0
    metrics_host: str = Field(default="127.0.0.1", description="address on which metrics are served")
    metrics_port: int = Field(default=0, ge=0, le=65535, description="port of the metrics; 0 takes a free one")
    log_level: str = "INFO"
    nats_url: str = "nats://127.0.0.1:4222"
    nats_user: str | None = None
    nats_password: SecretStr | None = None
    start_within_s: float = Field(
        default=60, gt=0, le=3600, description="the process ends if PostgreSQL or NATS is missing so long at the start"
    )

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
    database_ca: FilePath | None = Field(
        default=None, description="CA of PostgreSQL's certificate; sslmode=verify-full"
    )
    listen_url: SecretStr | None = Field(
        default=None, description="PostgreSQL itself, for LISTEN and migrations, if DATABASE_URL is a pooler"
    )
    database_pool: int = Field(default=10, ge=1, le=100, description="most connections, besides that of LISTEN")

    @field_validator("database_url", "listen_url")
    @classmethod
    def _own_database(cls, text: SecretStr | None) -> SecretStr | None:
        if text is None:
            return None
        url = DatabaseUrl.parse(text.get_secret_value())
        return text if url.database else SecretStr(url.in_database(cls.service).render())

    @model_validator(mode="after")
    def _urls_agree_with_the_ca(self) -> Self:
        _ = self.database, self.listening
        return self

    @property
    def database(self) -> DatabaseUrl:
        """The service's database, or the pooler before it."""
        return self._with_ca(self.database_url)

    @property
    def listening(self) -> DatabaseUrl:
        """The service's database without a pooler, for LISTEN and migrations."""
        return self._with_ca(self.listen_url or self.database_url)

    def _with_ca(self, text: SecretStr) -> DatabaseUrl:
        url = DatabaseUrl.parse(text.get_secret_value())
        return url.verified_by(self.database_ca) if self.database_ca else url
