"""Typed results of the API. Times have a time zone, durations are seconds, sizes bytes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

COMPLETED = "completed"
FINAL_STATUSES = frozenset({COMPLETED, "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Output:
    """One output of a job. ``url`` returns its bytes; ``kind`` is image, video, audio, text, model or file.

    Attributes:
        temporary: whether it is a preview.
        source: "file", or "value" for a text or another JSON value reported by a node.
        key, position: its place in the node's report, as in ComfyUI's history.
        value: a small value; None for larger ones, which ``url`` returns.
    """

    id: str
    node_id: str
    name: str
    kind: str
    content_type: str
    size_bytes: int
    sha256: str
    url: str
    temporary: bool = field(default=False, kw_only=True)
    source: str = field(default="file", kw_only=True)
    key: str | None = field(default=None, kw_only=True)
    position: int = field(default=0, kw_only=True)
    value: Any = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job did not succeed."""

    code: str
    message: str
    node_id: str | None = None
    node_class: str | None = None


@dataclass(frozen=True, slots=True)
class JobWarning:
    """A warning about a completed job."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class DrawnSeed:
    """A random seed that was set in an input of the workflow."""

    node_id: str
    input: str
    seed: int


@dataclass(frozen=True, slots=True)
class MissingOption:
    """A model file or other option that a job needs, and some online nodes that lack it."""

    node_class: str
    input: str
    value: str
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WaitingDetail:
    """Details of the waiting reason. Fields of other reasons are None or empty.

    Attributes:
        jobs_ahead: for ``queue``: jobs of the same user that run before it.
        limit, running: for ``concurrency_limit``: maximum and current number of the user's running jobs.
        last_online_at: for ``no_node_online``: when the last node went offline.
        nodes: some of the nodes concerned.
        classes: for ``no_node_has_class``: missing node classes.
        missing: for ``model_missing``: missing models and other options.
        cause, until: for ``held``: operator, nodes_cordoned or retry, and when it ends if known.
    """

    jobs_ahead: int | None = None
    limit: int | None = None
    running: int | None = None
    last_online_at: datetime | None = None
    nodes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    missing: tuple[MissingOption, ...] = ()
    cause: str | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a job has not started, and since when. ``message`` explains it.

    ``reason`` is queue, concurrency_limit, no_node_online, no_node_has_class, model_missing, node_busy_elsewhere,
    node_blocked, held or account_disabled; more may be added.
    """

    reason: str
    since: datetime
    message: str = ""
    detail: WaitingDetail = field(default_factory=WaitingDetail)


@dataclass(frozen=True, slots=True)
class Timings:
    """Duration of each stage; None for stages that have not started."""

    queued_seconds: float | None = None
    running_seconds: float | None = None
    total_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Urls:
    """URLs of everything about a job."""

    self: str
    events: str
    ws: str
    result: str
    cancel: str


@dataclass(frozen=True, slots=True)
class Job:
    """One job. ``status`` is pending, processing, completed, failed or cancelled; ``progress`` is percent.

    ``waiting``: why it has not started; None unless pending. ``eta_seconds``: expected time until its end, and
    ``eta_p90_seconds``: the time by which 9 of 10 such jobs end; None if unknown. ``held``: whether an operator holds
    it. ``retry_of``: the failed job that an operator ran again as this one.
    """

    job_id: str
    status: str
    progress: float
    created_at: datetime
    urls: Urls
    queue_position: int | None = None
    eta_seconds: float | None = None
    attempt: int = 0
    started_at: datetime | None = None
    completed_at: datetime | None = None
    timings: Timings = field(default_factory=Timings)
    labels: dict[str, str] = field(default_factory=dict)
    held: bool = False
    retry_of: str | None = None
    outputs: tuple[Output, ...] = ()
    error: JobError | None = None
    warnings: tuple[JobWarning, ...] = ()
    model: str | None = None
    seed: int | None = None
    seeds: tuple[DrawnSeed, ...] = ()
    waiting: Waiting | None = None
    eta_p90_seconds: float | None = None

    @property
    def ended(self) -> bool:
        """Whether the job has reached a final state."""
        return self.status in FINAL_STATUSES

    @property
    def succeeded(self) -> bool:
        return self.status == COMPLETED


@dataclass(frozen=True, slots=True)
class JobPage:
    """A page of jobs, newest first; ``next_cursor`` is None on the last page."""

    jobs: tuple[Job, ...]
    next_cursor: str | None = None

    @property
    def items(self) -> tuple[Job, ...]:
        return self.jobs


@dataclass(frozen=True, slots=True)
class Outputs:
    """All outputs of a job, in the order of their ``index``."""

    outputs: tuple[Output, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits, and how long ended jobs and unused uploads are kept; None means no limit.

    ``graph_policy`` is strict or open; the other ``graph_…`` limit a single graph, ``run_seconds`` a single attempt,
    ``start_seconds`` the wait for the first attempt.
    """

    images_per_day: int | None = None
    max_running: int | None = None
    queue_cap: int | None = None
    weight: float = 1.0
    requests_per_minute: int | None = None
    result_days: int | None = None
    upload_days: int | None = None
    graph_policy: str = "strict"
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


@dataclass(frozen=True, slots=True)
class User:
    """An account."""

    id: str
    username: str
    email: str
    tier: str
    role: str
    is_active: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Me(User):
    """The user, its limits and its usage. ``left_today`` is None without a limit."""

    limits: Limits
    used_today: int
    resets_at: datetime
    running: int
    queued: int
    left_today: int | None = None


@dataclass(frozen=True, slots=True)
class Account(User):
    """An account as admins see it; ``own_limits`` names the limits that override its tier.

    ``shares_quota``: whether it shares its daily image quota with free accounts registered from the same address.
    """

    limits: Limits
    own_limits: tuple[str, ...] = ()
    shares_quota: bool = False


@dataclass(frozen=True, slots=True)
class AccountPage:
    """A page of accounts, newest first; ``next_cursor`` is None on the last page."""

    users: tuple[Account, ...]
    next_cursor: str | None = None

    @property
    def items(self) -> tuple[Account, ...]:
        return self.users


@dataclass(frozen=True, slots=True)
class Tokens:
    """Result of a login; ``expires_in``: lifetime of the access token."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int


@dataclass(frozen=True, slots=True)
class Key:
    """An API key in a list. ``prefix`` is its beginning."""

    id: str
    name: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A new key. ``key`` is its text, shown only once."""

    id: str
    key: str = field(repr=False)
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Keys:
    """The working keys of a user, newest first."""

    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Tier:
    """A tier and the limits of its users without overrides."""

    name: str
    limits: Limits


@dataclass(frozen=True, slots=True)
class Tiers:
    """Every tier, smallest first."""

    tiers: tuple[Tier, ...]


@dataclass(frozen=True, slots=True)
class Models:
    """Model files by the loader input that takes them, most common in the fleet first."""

    models: Mapping[str, list[str]]
