"""Every knob of the notifier."""

from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chassis.settings import DatabaseSettings


class Settings(DatabaseSettings):
    """Environment of the notifier, ``NOTIFIER_…``."""

    model_config = SettingsConfigDict(env_prefix="NOTIFIER_", frozen=True, extra="ignore")
    service: ClassVar[str] = "notifier"

    auth_wait_s: float = Field(
        default=10, gt=0, description="how long a socket may take to say its credential, seconds"
    )
    send_timeout_s: float = Field(default=5, gt=0, description="a viewer that takes no frame for so long is cut off")
    reread_s: float = Field(default=3, gt=0, description="pause between two looks at a watched job, seconds")
    keep_days: float = Field(default=3, gt=0, description="how long events are kept to be replayed")
