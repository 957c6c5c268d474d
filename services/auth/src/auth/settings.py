"""Settings of auth."""

from typing import ClassVar

from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from chassis.settings import DatabaseSettings


class Settings(DatabaseSettings):
    """Everything that auth is told from outside."""

    model_config = SettingsConfigDict(env_prefix="AUTH_", frozen=True, extra="ignore")
    service: ClassVar[str] = "auth"

    secret_key: SecretStr  # keys are stored under an HMAC with a key derived from this: losing it ends every API key
