"""Settings of a service, loaded once from its environment."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self, get_args

from pydantic import Field, FilePath, SecretStr, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from chassis.database.url import DatabaseUrl
from chassis.messaging.servers import TlsFiles, parse_servers

PLACEHOLDER_SECRETS = frozenset(
    {"admin", "default", "example", "password", "placeholder", "postgres", "secret", "secret-key", "test"}
)
MIN_PASSWORD = 8  # characters of a password of NATS or PostgreSQL
MIN_SECRET_KEY = 32  # characters: 128 bits if they are hexadecimal digits
MIN_DISTINCT = 8  # different characters of a secret key
GENERATE_HINT = "Generate one with: openssl rand -hex 32"


class InvalidSecretFile(ValueError):
    """A setting whose name ends in ``_FILE`` cannot be used."""


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
            "secret_keys",
            "log_level",
            "database_url",
            "database_ca",
            "listen_url",
            "start_within_s",
            "comfyui_url",
            "drain_delay_s",
            "rate_limit_enabled",
            "access_token_expire_minutes",
            "aws_secret_access_key",
        }
    )

    def __init__(self, settings: type[BaseSettings]) -> None:
        super().__init__(settings, env_prefix="")

    def __call__(self) -> dict[str, Any]:
        """Return the values of settings whose names have no prefix."""
        found = super().__call__()
        return {name: value for name, value in found.items() if name in self.NAMES}


class SecretFileSource(PydanticBaseSettingsSource):
    """Loads secrets from files: ``NAME_FILE`` is the path of a file that contains the value of ``NAME``.

    Every setting of type ``SecretStr`` has such a name. White space around the value is not part of it.

    Args:
        prefix: prefix of the names; empty for the names that all services share.
    """

    def __init__(self, settings: type[BaseSettings], *, prefix: str) -> None:
        super().__init__(settings)
        self._prefix = prefix

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the value of one field, or None.

        Raises:
            InvalidSecretFile: the value is also set directly, or the file is unreadable or empty.
        """
        name = f"{self._prefix}{field_name}".upper()
        path = os.environ.get(f"{name}_FILE")
        if not is_secret(field) or not path:
            return None, field_name, False
        if os.environ.get(name):
            raise InvalidSecretFile(f"{name} and {name}_FILE are both set. Set one of them.")
        try:
            value = Path(path).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise InvalidSecretFile(f"{name}_FILE: cannot read {path}: {reason}.") from None
        if not value:
            raise InvalidSecretFile(f"{name}_FILE: {path} is empty.")
        return value, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the secrets that come from files."""
        names = self.settings_cls.model_fields.items()
        shared = UnprefixedEnvSource.NAMES
        found = {name: self.get_field_value(field, name)[0] for name, field in names if self._prefix or name in shared}
        return {name: value for name, value in found.items() if value is not None}


def _find_password(url: str) -> str:
    """Return the password in a URL, which may contain unescaped special characters."""
    login, _, _ = url.partition("://")[2].rpartition("@")
    return login.partition(":")[2]


class ServiceSettings(BaseSettings):
    """Settings of every service. Each name has the service's prefix: ``AUTH_PORT``.

    An empty value counts as unset. Placeholders and short secrets are refused.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

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
    start_within_s: float = Field(
        default=60, gt=0, le=3600, description="the process ends if PostgreSQL or NATS is missing so long at the start"
    )

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
                self.nats_tls.create_ssl_context()
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
        return (
            init_settings,
            env_settings,
            SecretFileSource(settings_cls, prefix=settings_cls.model_config.get("env_prefix", "")),
            UnprefixedEnvSource(settings_cls),
            SecretFileSource(settings_cls, prefix=""),
        )

    def secret_values(self) -> Iterator[tuple[str, str]]:
        """Yield every configured secret with the name of its setting. Of a URL only its password is secret."""
        prefix = self.model_config.get("env_prefix", "")
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if is_secret(field) and value is not None:
                text = value.get_secret_value()
                secret = _find_password(text) if "://" in text else text
                if secret:
                    yield f"{prefix}{name}".upper(), secret

    @model_validator(mode="after")
    def _refuse_placeholders(self) -> Self:
        for name, secret in self.secret_values():
            if is_placeholder(secret):
                raise ValueError(f"{name} has a placeholder. {GENERATE_HINT}")
            if len(secret) < MIN_PASSWORD:
                raise ValueError(f"{name}: the secret has fewer than {MIN_PASSWORD} characters. {GENERATE_HINT}")
        return self


class SecretKeySettings(ServiceSettings):
    """Settings of a service that signs or hashes with keys derived from ``SECRET_KEY``.

    ``SECRET_KEYS`` has several of them during a rotation: the first signs, all are accepted.
    """

    secret_key: SecretStr | None = Field(default=None, description="signs and hashes; the same on all replicas")
    secret_keys: SecretStr | None = Field(
        default=None, description="comma-separated: the first signs and hashes, all are accepted"
    )

    @property
    def accepted_secret_keys(self) -> tuple[str, ...]:
        """The secret keys: the first signs and hashes, the others are accepted."""
        several = _split_secrets(self.secret_keys)
        return several or ((self.secret_key.get_secret_value(),) if self.secret_key else ())

    @model_validator(mode="after")
    def _check_secret_keys(self) -> Self:
        prefix = self.model_config.get("env_prefix", "")
        keys = self.accepted_secret_keys
        if not keys or not keys[0]:
            raise ValueError(f"{prefix}SECRET_KEY is required. {GENERATE_HINT}")
        if self.secret_key and self.secret_key.get_secret_value() != keys[0]:
            raise ValueError(f"{prefix}SECRET_KEY is not the first of {prefix}SECRET_KEYS. Set one of them.")
        for key in keys:
            if is_placeholder(key) or len(set(key)) < MIN_DISTINCT:
                raise ValueError(f"{prefix}SECRET_KEY has a placeholder. {GENERATE_HINT}")
            if len(key) < MIN_SECRET_KEY:
                raise ValueError(f"{prefix}SECRET_KEY has fewer than {MIN_SECRET_KEY} characters. {GENERATE_HINT}")
        return self

    def secret_values(self) -> Iterator[tuple[str, str]]:
        """Yield every configured secret; each of ``SECRET_KEYS`` by itself."""
        for name, value in super().secret_values():
            for part in _split_secrets(SecretStr(value)) if name.endswith("SECRET_KEYS") else (value,):
                yield name, part


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
    database_pool: int = Field(
        default=10, ge=1, le=100, description="maximum number of connections, besides that of LISTEN"
    )

    @field_validator("database_url", "listen_url")
    @classmethod
    def _set_default_database(cls, text: SecretStr | None) -> SecretStr | None:
        if text is None:
            return None
        url = DatabaseUrl.parse(text.get_secret_value())
        return text if url.database else SecretStr(url.replace_database(cls.service).render())

    @model_validator(mode="after")
    def _check_urls_with_ca(self) -> Self:
        _ = self.database, self.direct_database
        return self

    @property
    def database(self) -> DatabaseUrl:
        """URL of the service's database, or of the pooler in front of it."""
        return self._add_ca(self.database_url)

    @property
    def direct_database(self) -> DatabaseUrl:
        """URL of the service's database itself, not of a pooler: for LISTEN and migrations."""
        return self._add_ca(self.listen_url or self.database_url)

    def _add_ca(self, text: SecretStr) -> DatabaseUrl:
        url = DatabaseUrl.parse(text.get_secret_value())
        return url.add_ca(self.database_ca) if self.database_ca else url


def is_secret(field: FieldInfo) -> bool:
    """Whether a setting is a secret."""
    return field.annotation is SecretStr or SecretStr in get_args(field.annotation)


def is_placeholder(secret: str) -> bool:
    """Whether a secret is a word of an example and was never replaced."""
    plain = secret.lower().replace("_", "-")
    return plain in PLACEHOLDER_SECRETS or "change-me" in plain or "changeme" in plain


def _split_secrets(secrets: SecretStr | None) -> tuple[str, ...]:
    return tuple(filter(None, (part.strip() for part in (secrets.get_secret_value() if secrets else "").split(","))))
