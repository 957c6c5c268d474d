"""Settings of the scheduler."""

from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chassis.settings import DatabaseSettings


class Settings(DatabaseSettings):
    """Everything that the scheduler is told from outside."""

    model_config = SettingsConfigDict(env_prefix="SCHEDULER_", frozen=True, extra="ignore")
    service: ClassVar[str] = "scheduler"

    lease_s: float = Field(
        default=15.0, ge=3, description="a lease lasts this long without a heartbeat (5 missed ones)"
    )
    max_attempts: int = Field(default=3, ge=1, description="tries of one job before it fails")
    frames_per_image: int = Field(
        default=16, ge=1, description="frames of an animation or a video that count as one image"
    )
    limits_fresh_s: float = Field(default=30.0, ge=0, description="a tenant's limits are asked for again after this")
    retention_every_s: float = Field(default=60.0, gt=0, description="pause between two looks for jobs to delete")
    default_models: str | None = Field(
        default=None,
        description="checkpoints for submissions without a model, comma-separated: the first that the fleet has is "
        "taken; without any, those that a node had when it joined",
    )
    node_forgotten_s: float = Field(
        default=86_400.0, description="a node that was last seen this much earlier than the others no longer counts"
    )

    @property
    def default_model_names(self) -> tuple[str, ...]:
        """The names in ``default_models``."""
        return tuple(filter(None, (name.strip() for name in (self.default_models or "").split(","))))
