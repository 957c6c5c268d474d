"""Why a queued job has not started."""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from contracts.wire.model import TolerantModel


class WaitReason(StrEnum):
    """Why a job has not started."""

    QUEUE = "queue"  # it can run, but other jobs come first
    CONCURRENCY_LIMIT = "concurrency_limit"  # its tenant is at its limit of running jobs
    NO_NODE_ONLINE = "no_node_online"
    NO_NODE_HAS_CLASS = "no_node_has_class"  # no online node has all its node classes
    MODEL_MISSING = "model_missing"  # online nodes have its classes, but none has all its models and other options
    NODE_BUSY_ELSEWHERE = "node_busy_elsewhere"  # the nodes that can run it are busy
    NODE_BLOCKED = "node_blocked"  # the nodes that can run it are blocked
    HELD = "held"  # it is held back, see ``HoldCause``
    ACCOUNT_DISABLED = "account_disabled"


class HoldCause(StrEnum):
    """Why a job is held."""

    OPERATOR = "operator"  # an operator holds the job
    NODES_CORDONED = "nodes_cordoned"  # the nodes that can run it are cordoned or drained
    RETRY = "retry"  # its node failed while running it: for a while only other nodes may take it


class MissingOption(TolerantModel):
    """A model file or other option that an input of the job names, and the online nodes that lack it, at most 10."""

    node_class: str
    input: str
    value: str
    nodes: tuple[str, ...]


def _is_absent(value: object) -> bool:
    return value is None or value == ()


class WaitingDetail(TolerantModel):
    """Details of the wait reason. Only the fields of that reason are set.

    Attributes:
        jobs_ahead: for ``queue``: jobs of the same tenant that run before it.
        limit, running: for ``concurrency_limit``: maximum and current number of the tenant's running jobs.
        last_online_at: for ``no_node_online``: when the last node went offline; absent if unknown.
        nodes: names of affected nodes, at most 10.
        classes: for ``no_node_has_class``: missing node classes, at most 10.
        missing: for ``model_missing``: missing models, at most 5, those that most nodes lack first.
        cause, until: for ``held``. ``until`` is absent if unknown.
    """

    jobs_ahead: int | None = Field(default=None, exclude_if=_is_absent)
    limit: int | None = Field(default=None, exclude_if=_is_absent)
    running: int | None = Field(default=None, exclude_if=_is_absent)
    last_online_at: datetime | None = Field(default=None, exclude_if=_is_absent)
    nodes: tuple[str, ...] = Field(default=(), exclude_if=_is_absent)
    classes: tuple[str, ...] = Field(default=(), exclude_if=_is_absent)
    missing: tuple[MissingOption, ...] = Field(default=(), exclude_if=_is_absent)
    cause: HoldCause | None = Field(default=None, exclude_if=_is_absent)
    until: datetime | None = Field(default=None, exclude_if=_is_absent)


class Waiting(TolerantModel):
    """Why a job waits.

    Attributes:
        since: when this reason began, as far as known; never before the job was queued.
        message: the reason as a sentence.
    """

    reason: WaitReason
    since: datetime
    message: str
    detail: WaitingDetail = WaitingDetail()
