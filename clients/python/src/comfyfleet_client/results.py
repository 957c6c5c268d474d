"""What the API answers, typed. Times carry their zone, durations are seconds, sizes bytes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

COMPLETED = "completed"
FINAL = frozenset({COMPLETED, "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Output:
    """One thing that a job made. ``url`` gives its bytes; ``kind`` is image, video, audio, text, model or file.

    Attributes:
        temporary: a preview.
        source: "file", or "value": a text or another JSON value that a node reported.
        key, position: where it stands in the node's report, as in ComfyUI's history.
        value: of a value that is small; else None, and ``url`` gives it.
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
    """Something to know about a job that completed."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class DrawnSeed:
    """A random seed that an input of a workflow got."""

    node_id: str
    input: str
    seed: int


@dataclass(frozen=True, slots=True)
class MissingOption:
    """A model file or other option that a job names, and some online nodes that lack it."""

    node_class: str
    input: str
    value: str
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WaitingDetail:
    """What belongs to the reason why a job waits; the rest is None or empty.

    Attributes:
        jobs_ahead: of ``queue``: own jobs that run before it.
        limit, running: of ``concurrency_limit``.
        last_online_at: of ``no_node_online``: when the last node went offline.
        nodes: some of the nodes that the reason is about.
        classes: of ``no_node_has_class``: node classes that are missing.
        missing: of ``model_missing``: models and other options that are missing.
        cause, until: of ``held``: operator, nodes_cordoned or retry, and when it ends where that is known.
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
    """Why a job has not started, and since when. ``message`` says it in words.

    ``reason`` is queue, concurrency_limit, no_node_online, no_node_has_class, model_missing, node_busy_elsewhere,
    node_blocked, held or account_disabled; others may come.
    """

    reason: str
    since: datetime
    message: str = ""
    detail: WaitingDetail = field(default_factory=WaitingDetail)


@dataclass(frozen=True, slots=True)
class Timings:
    """How long each stage took; None for what has not begun."""

    queued_seconds: float | None = None
    running_seconds: float | None = None
    total_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Urls:
    """Where everything about a job is."""

    self: str
    events: str
    ws: str
    result: str
    cancel: str


@dataclass(frozen=True, slots=True)
class Job:
    """One job. ``status`` is pending, processing, completed, failed or cancelled; ``progress`` percent.

    ``waiting``: why it has not started; None unless it is pending. ``eta_seconds``: None where nobody can know.
    ``held``: an operator keeps it waiting. ``retry_of``: the failed job that an operator had run again as this one.
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

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in FINAL

    @property
    def succeeded(self) -> bool:
        """Whether it ended, and well."""
        return self.status == COMPLETED


@dataclass(frozen=True, slots=True)
class JobPage:
    """Some jobs, newest first; ``next_cursor`` is None on the last page."""

    jobs: tuple[Job, ...]
    next_cursor: str | None = None

    @property
    def items(self) -> tuple[Job, ...]:
        """What is on the page."""
        return self.jobs


@dataclass(frozen=True, slots=True)
class Outputs:
    """All outputs of a job, in the order that ``index`` counts."""

    outputs: tuple[Output, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """What somebody may use, and how long ended jobs and unused uploads are kept; None means no limit.

    ``graph_policy`` is strict or open; the other ``graph_…`` limit a single graph, ``run_seconds`` a single attempt.
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
    """Who asks, what they may use, what they use. ``left_today`` is None where nothing limits it."""

    limits: Limits
    used_today: int
    resets_at: datetime
    running: int
    queued: int
    left_today: int | None = None


@dataclass(frozen=True, slots=True)
class Account(User):
    """An account as admins see it; ``own_limits`` names the limits that are its own rather than its tier's.

    ``shares_quota``: it shares its daily image quota with free accounts that registered from the same address.
    """

    limits: Limits
    own_limits: tuple[str, ...] = ()
    shares_quota: bool = False


@dataclass(frozen=True, slots=True)
class AccountPage:
    """Some accounts, newest first; ``next_cursor`` is None on the last page."""

    users: tuple[Account, ...]
    next_cursor: str | None = None

    @property
    def items(self) -> tuple[Account, ...]:
        """What is on the page."""
        return self.users


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a login gives; ``expires_in``: life of the access token."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int


@dataclass(frozen=True, slots=True)
class Key:
    """An API key as it is listed. ``prefix`` is how it begins."""

    id: str
    name: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made. ``key`` is its text, which the API shows this once."""

    id: str
    key: str = field(repr=False)
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Keys:
    """Every key of a user that works, newest first."""

    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Tier:
    """A tier, and what everybody in it may use who has no own limits."""

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
