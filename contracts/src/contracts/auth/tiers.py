"""Tiers, and the limits that a tier or a user has."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from contracts.auth.fields import Ip
from contracts.auth.rpc import declare_auth_rpc
from contracts.graph_policy.policy import GraphPolicy
from contracts.preview import Preview
from contracts.wire.model import StrictModel, TolerantModel
from contracts.wire.topic import MessageKind, Topic


class Tier(StrEnum):
    """A service level. Its limits apply to every tenant in it that has no limits of its own."""

    FREE = "free"
    BASIC = "basic"
    PRO = "pro"
    ENTERPRISE = "enterprise"


class Limits(TolerantModel):
    """Limits of a tenant. null means unlimited.

    Attributes:
        images_per_day: images produced in one UTC day.
        max_running: jobs that run at the same time.
        queue_cap: jobs that wait at the same time.
        weight: share of the fleet relative to other tenants, > 0.
        requests_per_minute: HTTP requests to each endpoint class. Sessions may send ten times as many reading requests.
        result_days: days after its end for which a job and its outputs are kept.
        upload_days: days for which an upload that no job uses is kept.
        graph_policy: which node classes a graph may use.
        graph_nodes: nodes of one graph.
        graph_text_bytes: text in one graph, UTF-8 bytes, after values were passed along its links.
        graph_pixels: pixels of one image times the images or frames of its batch.
        graph_steps: sampling steps of one sampler.
        graph_pixel_steps: pixels times batch times steps, summed over the samplers of a graph.
        start_seconds: maximum time that a job waits for its first attempt, seconds; a job may request less.
        run_seconds: maximum run time of one attempt, seconds; a job may request less.
        gpu_seconds_per_day: GPU-seconds used in one UTC day. Once reached, further jobs are refused.
        result_bytes: outputs stored at the same time, bytes. Once reached, further jobs are refused.
        upload_bytes: size of one uploaded file, bytes. Images have a separate limit in the gateway.
    """

    images_per_day: int | None
    max_running: int | None
    queue_cap: int | None
    weight: float = Field(gt=0)
    requests_per_minute: int | None
    result_days: int | None = None
    upload_days: int | None = None
    graph_policy: GraphPolicy = GraphPolicy.STRICT
    graph_nodes: int | None = None
    graph_text_bytes: int | None = None
    graph_pixels: int | None = None
    graph_steps: int | None = None
    graph_pixel_steps: int | None = None
    run_seconds: float | None = None
    gpu_seconds_per_day: float | None = None
    result_bytes: int | None = None
    upload_bytes: int | None = None
    start_seconds: float | None = None


Cap = Annotated[int, Field(ge=0, le=2**31 - 1)]


Days = Annotated[int, Field(ge=1, le=36_500)]


LargeCap = Annotated[int, Field(ge=1, le=2**53)]  # larger integers are not exact in JavaScript


class LimitsPatch(StrictModel):
    """New values of some limits, by name.

    null means unlimited; unnamed limits stay unchanged and are not serialized.
    """

    images_per_day: Cap | None = None
    max_running: Cap | None = None
    queue_cap: Cap | None = None
    weight: Annotated[float, Field(gt=0, le=1000)] = 1.0
    requests_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    result_days: Days | None = None
    upload_days: Days | None = None
    graph_policy: GraphPolicy = GraphPolicy.STRICT
    graph_nodes: Annotated[int, Field(ge=1, le=2000)] | None = None
    graph_text_bytes: LargeCap | None = None
    graph_pixels: LargeCap | None = None
    graph_steps: Annotated[int, Field(ge=1, le=10_000)] | None = None
    graph_pixel_steps: LargeCap | None = None
    run_seconds: Annotated[float, Field(ge=1, le=7 * 86400)] | None = None
    gpu_seconds_per_day: Annotated[float, Field(ge=0, le=1e9)] | None = None
    result_bytes: LargeCap | None = None
    upload_bytes: LargeCap | None = None
    start_seconds: Annotated[float, Field(ge=1, le=30 * 86400)] | None = None

    @model_serializer(mode="wrap")
    def _omit_unset_limits(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in serialize(self).items() if name in self.model_fields_set}


class TierLimits(TolerantModel):
    """A tier and the limits of its tenants that have no limits of their own."""

    tier: Tier
    limits: Limits


class ListTiers(StrictModel):
    """List all tiers."""


class Tiers(TolerantModel):
    """All tiers, smallest first."""

    tiers: tuple[TierLimits, ...]


class ChangeTier(StrictModel):
    """Change some limits of a tier. This affects every tenant in it that has no limits of its own."""

    tier: Tier
    limits: LimitsPatch
    ip: Ip | None = None


LIST_TIERS = declare_auth_rpc("tier", "list", ListTiers, Tiers, "An admin lists the tiers.")
CHANGE_TIER = declare_auth_rpc("tier", "change", ChangeTier, TierLimits, "An admin changes the limits of a tier.")
PREVIEW_TIER_CHANGE = declare_auth_rpc(
    "tier", "preview", ChangeTier, Preview, "An admin asks what a change of a tier would do."
)
TIER_CHANGED = Topic(
    kind=MessageKind.LIVE,
    owner="auth",
    noun="tier",
    verb="changed",
    payload=TierLimits,
    description="The limits of a tier changed.",
    producers=("auth",),
    consumers=("gateway", "notifier", "scheduler"),
)

TOPICS = (LIST_TIERS, CHANGE_TIER, PREVIEW_TIER_CHANGE, TIER_CHANGED)
