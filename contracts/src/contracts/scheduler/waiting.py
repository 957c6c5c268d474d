"""Why a queued job has not started."""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from contracts.wire.model import TolerantModel


class WaitReason(StrEnum):
    """Why a job has not started."""

    QUEUE = "queue"  # it can run, and other jobs come first
    CONCURRENCY_LIMIT = "concurrency_limit"  # its tenant runs as many jobs as it may
    NO_NODE_ONLINE = "no_node_online"
    NO_NODE_HAS_CLASS = "no_node_has_class"  # no online node has all its node classes
    MODEL_MISSING = "model_missing"  # online nodes have its classes, and none has all its models and other options
    NODE_BUSY_ELSEWHERE = "node_busy_elsewhere"  # nodes that can run it work for somebody else
    NODE_BLOCKED = "node_blocked"  # nodes that can run it are stuck
    HELD = "held"  # on purpose, see ``HoldCause``
    ACCOUNT_DISABLED = "account_disabled"


class HoldCause(StrEnum):
    """Why a job is held."""

    OPERATOR = "operator"  # an operator holds the job
    NODES_CORDONED = "nodes_cordoned"  # nodes that can run it take no new work: they are cordoned or drained
    RETRY = "retry"  # its node died with it: for a while only other nodes may take it


class MissingOption(TolerantModel):
    """A model file or other option that an input of the job names, and online nodes that lack it, 10 at most."""

    node_class: str
    input: str
    value: str
    nodes: tuple[str, ...]


def _is_absent(value: object) -> bool:
    return value is None or value == ()


class WaitingDetail(TolerantModel):
    """What belongs to the reason; the rest is absent.

    Attributes:
        jobs_ahead: of ``queue``: jobs of the same tenant that run before it.
        limit, running: of ``concurrency_limit``: jobs that the tenant may run at once, and those that it runs.
        last_online_at: of ``no_node_online``: when the last node went offline; absent where none is known.
        nodes: names of the nodes that the reason is about, 10 at most.
        classes: of ``no_node_has_class``: node classes that are missing, 10 at most.
        missing: of ``model_missing``: what is missing, 5 at most, those first that most nodes lack.
        cause, until: of ``held``. ``until`` is absent where nobody can know.
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
        since: when the reason began, as far as known; never before the job was queued.
        message: the same in words, for people.
    """

    reason: WaitReason
    since: datetime
    message: str
    detail: WaitingDetail = WaitingDetail()
