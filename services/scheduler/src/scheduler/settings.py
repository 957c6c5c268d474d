"""Settings of the scheduler."""

from typing import ClassVar

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from chassis.settings import DatabaseSettings
from contracts.registry import JOB_EVENTS
from contracts.scheduler.attempts import MAX_NODE_ATTEMPTS

STREAM_REPLICAS = (1, 3, 5)


class Settings(DatabaseSettings):
    """Environment variables with the prefix ``SCHEDULER_``."""

    model_config = SettingsConfigDict(env_prefix="SCHEDULER_", frozen=True, extra="ignore")
    service: ClassVar[str] = "scheduler"

    lease_s: float = Field(
        default=15.0, ge=3, description="how long a lease lasts without a heartbeat (5 missed heartbeats)"
    )
    max_attempts: int = Field(default=3, ge=1, description="attempts per job before it fails")
    node_attempts: int = Field(
        default=3,
        ge=2,
        le=MAX_NODE_ATTEMPTS,
        description="attempts that a node may have at a time: one runs, one is prefetched, outputs of the others are "
        "being stored",
    )
    cordon_after_jobs: int = Field(
        default=3,
        ge=0,
        description="number of different jobs in a row that must fail through the node's fault before it is cordoned; "
        "0 disables",
    )
    frames_per_image: int = Field(
        default=16, ge=1, description="frames of an animation or video that count as one image"
    )
    warm_bound_s: float = Field(
        default=30.0,
        ge=0,
        description="how long the next job may be passed over for jobs whose models the node has loaded, or a tenth of "
        "the time that it waited if that is longer; then it runs even if the node must load models. 0: in order",
    )
    limits_fresh_s: float = Field(
        default=30.0, ge=0, description="how long a tenant's limits are cached before they are requested again"
    )
    retention_every_s: float = Field(default=60.0, gt=0, description="pause between two searches for jobs to delete")
    default_models: str | None = Field(
        default=None,
        description="checkpoints for submissions without a model, comma-separated: the first one that the fleet has "
        "is used. Default: the checkpoints that a node had when it joined",
    )
    catalog_grace_s: float = Field(
        default=30.0,
        ge=0,
        description="how long models and classes that disappeared from a node are still accepted; such jobs wait. "
        "A model folder may be empty for a moment while it is mounted",
    )
    node_forgotten_s: float = Field(
        default=86_400.0,
        description="a node is ignored if it was last seen this many seconds before the most recently seen node",
    )
    stream_replicas: int = Field(
        default=1, description="replicas of each stream; more than 1 needs a NATS cluster of at least that size"
    )
    event_stream_bytes: int = Field(
        default=JOB_EVENTS.max_bytes,
        ge=1 << 20,
        description="largest size of the stream of job events; the oldest events are discarded beyond it",
    )

    @field_validator("stream_replicas")
    @classmethod
    def _check_replicas(cls, replicas: int) -> int:
        if replicas not in STREAM_REPLICAS:
            raise ValueError("STREAM_REPLICAS must be 1, 3 or 5.")
        return replicas

    @property
    def default_model_names(self) -> tuple[str, ...]:
        """``default_models`` as a tuple, without empty names."""
        return tuple(filter(None, (name.strip() for name in (self.default_models or "").split(","))))
