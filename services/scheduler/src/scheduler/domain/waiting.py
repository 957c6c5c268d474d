"""Why a job waits, decided on facts: what nodes lack and do, and what its tenant may run."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from contracts.scheduler.waiting import HoldCause, MissingOption, Waiting, WaitingDetail, WaitReason
from contracts.wire.shown import plain
from scheduler.domain.catalog import Lacking, Option

# What is named at most; a page of 100 jobs has to fit into one message.
MAX_NODES = 10
MAX_CLASSES = 10
MAX_OPTIONS = 5
MAX_VALUE = 200  # characters

# Of these somebody has to do something first, or foreign prompts of unknown length end: no estimate is possible.
WITHOUT_END = frozenset(WaitReason) - {WaitReason.QUEUE, WaitReason.CONCURRENCY_LIMIT}


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A node of the fleet.

    Attributes:
        digest: of its catalog; None before it reported one.
        since: since when it is online or not and has its catalog; None if unknown.
        seen_at: when it was last heard of.
        cordoned_at: since when it takes no new work.
        shared_at: since when somebody else's prompts are in its queue: ours wait until they have ended.
        blocked_at: since when it is stuck.
    """

    name: str
    digest: str | None
    online: bool
    seen_at: datetime
    since: datetime | None = None
    cordoned_at: datetime | None = None
    shared_at: datetime | None = None
    blocked_at: datetime | None = None

    @property
    def occupied_at(self) -> datetime | None:
        """Since when it is blocked or busy with foreign prompts; None if it can take jobs."""
        return self.blocked_at or self.shared_at


@dataclass(frozen=True, slots=True)
class TenantFacts:
    """What a tenant may run at once, and what it runs.

    Attributes:
        limit_reached_at: when the newest of its attempts began; None below the limit.
    """

    id: UUID
    is_active: bool
    running: int
    max_running: int | None
    limit_reached_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class QueuedFacts:
    """A job that is queued.

    Attributes:
        since: when it was queued, held or released last.
        jobs_ahead: of its tenant; None where they are not counted.
        avoid_node: it takes this node only after ``avoid_until``, unless no other can run it.
    """

    since: datetime
    now: datetime
    jobs_ahead: int | None
    on_hold: bool = False
    avoid_node: str | None = None
    avoid_until: datetime | None = None


class Obstacle(NamedTuple):
    """What keeps every node from running a job. ``since`` None: for as long as anybody knows."""

    reason: WaitReason
    message: str
    since: datetime | None = None
    detail: WaitingDetail = WaitingDetail()


class Survey(NamedTuple):
    """What nodes can do for all jobs of the same needs.

    Attributes:
        open: nodes that can run them and take new work, whatever they do now.
        obstacle: what keeps all nodes from running them.
    """

    open: tuple[NodeFacts, ...] = ()
    obstacle: Obstacle | None = None


def survey(nodes: Sequence[NodeFacts], lacking: Mapping[str, Lacking]) -> Survey:
    """Look at all nodes once for all jobs that need the same.

    Args:
        nodes: that are known, online or not.
        lacking: what catalogs lack of what the jobs need, by digest; catalogs that lack nothing are left out.
    """
    online = [node for node in nodes if node.online and node.digest is not None]
    if not online:
        return Survey(obstacle=_nobody_online(nodes))
    able = [node for node in online if node.digest not in lacking]
    if not able:
        return Survey(obstacle=_nobody_able(nodes, online, lacking))
    open_ = tuple(node for node in able if node.cordoned_at is None)
    if not open_:
        return Survey(obstacle=_all_cordoned(able))
    return Survey(open_, _all_occupied(open_))


def explain(job: QueuedFacts, tenant: TenantFacts, surveyed: Survey) -> Waiting:
    """Why the job waits. Of several reasons the one that has to go first."""
    if job.on_hold:
        detail = WaitingDetail(cause=HoldCause.OPERATOR)
        return _waiting(job, Obstacle(WaitReason.HELD, "An operator holds the job.", detail=detail))
    if not tenant.is_active:
        return _waiting(job, Obstacle(WaitReason.ACCOUNT_DISABLED, "The account of the job's owner is disabled."))
    obstacle = surveyed.obstacle or _left_to_others(job, surveyed.open) or _at_limit(tenant)
    return _waiting(job, obstacle or _in_queue(job, surveyed.open))


def _waiting(job: QueuedFacts, obstacle: Obstacle) -> Waiting:
    since = max(job.since, obstacle.since) if obstacle.since is not None else job.since
    return Waiting(reason=obstacle.reason, since=since, message=obstacle.message, detail=obstacle.detail)


def _nobody_online(nodes: Sequence[NodeFacts]) -> Obstacle:
    since = _latest(nodes, lambda node: node.since or node.seen_at)
    message = "No node is online. The job starts when one comes back."
    return Obstacle(WaitReason.NO_NODE_ONLINE, message, since, WaitingDetail(last_online_at=since))


def _nobody_able(nodes: Sequence[NodeFacts], online: Sequence[NodeFacts], lacking: Mapping[str, Lacking]) -> Obstacle:
    """It began when the last node that could run it went away, or its catalog changed."""
    since = _latest(nodes, lambda node: node.since)
    lacks = {node.name: lacking[node.digest] for node in online if node.digest is not None}
    with_classes = {name: lack for name, lack in lacks.items() if not lack.classes}
    if with_classes:
        missing = _missing_options(with_classes)
        named = _listed([f"{one.value} ({one.node_class}.{one.input})" for one in missing])
        message = f"No online node has all models and options that the job needs. Missing: {named}."
        detail = WaitingDetail(missing=missing[:MAX_OPTIONS], nodes=_some(with_classes))
        return Obstacle(WaitReason.MODEL_MISSING, message, since, detail)
    everywhere = set.intersection(*(set(lack.classes) for lack in lacks.values()))
    fewest = min(lacks.values(), key=lambda lack: len(lack.classes)).classes
    classes = tuple(sorted(everywhere or fewest))
    message = f"No online node has the node class{'es' if len(classes) > 1 else ''} {_listed(classes)}."
    if not everywhere:
        message = f"No online node has all node classes of the job. The closest one lacks {_listed(classes)}."
    detail = WaitingDetail(classes=classes[:MAX_CLASSES], nodes=_some(lacks))
    return Obstacle(WaitReason.NO_NODE_HAS_CLASS, message, since, detail)


def _missing_options(lacks: Mapping[str, Lacking]) -> tuple[MissingOption, ...]:
    """What the nodes lack, that first which most of them lack."""
    where: dict[Option, list[str]] = {}
    for name, lack in lacks.items():
        for option in lack.options:
            where.setdefault(option, []).append(name)
    ordered = sorted(where.items(), key=lambda found: (-len(found[1]), found[0]))
    return tuple(
        MissingOption(node_class=one.node_class, input=one.input, value=one.value[:MAX_VALUE], nodes=_some(names))
        for one, names in ordered
    )


def _all_cordoned(able: Sequence[NodeFacts]) -> Obstacle:
    detail = WaitingDetail(cause=HoldCause.NODES_CORDONED, nodes=_some(node.name for node in able))
    message = "Every node that can run the job takes no new work: an operator has cordoned it."
    return Obstacle(WaitReason.HELD, message, _latest(able, lambda node: node.cordoned_at), detail)


def _all_occupied(nodes: Sequence[NodeFacts]) -> Obstacle | None:
    """Whether every node is stuck or works for somebody else."""
    if _free(nodes):
        return None
    since = _latest(nodes, lambda node: node.occupied_at)
    shared = [node.name for node in nodes if node.blocked_at is None]
    if shared:
        message = "Every node that can run the job works on prompts that were sent to it directly."
        return Obstacle(WaitReason.NODE_BUSY_ELSEWHERE, message, since, WaitingDetail(nodes=_some(shared)))
    message = "Every node that can run the job is blocked. An operator has to look at it."
    detail = WaitingDetail(nodes=_some(node.name for node in nodes))
    return Obstacle(WaitReason.NODE_BLOCKED, message, since, detail)


def _left_to_others(job: QueuedFacts, nodes: Sequence[NodeFacts]) -> Obstacle | None:
    """Whether other nodes have to run it first, and all of them are stuck or work for somebody else."""
    if job.avoid_node is None or job.avoid_until is None or job.avoid_until <= job.now:
        return None
    others = [node for node in nodes if node.name != job.avoid_node]
    if not others or len(others) == len(nodes) or _free(others):  # a node that alone can run it may take it now
        return None
    message = f"Node {job.avoid_node} died with this job, so for a while only other nodes may take it."
    detail = WaitingDetail(cause=HoldCause.RETRY, until=job.avoid_until, nodes=_some(node.name for node in others))
    return Obstacle(WaitReason.HELD, message, _latest(others, lambda node: node.occupied_at), detail)


def _at_limit(tenant: TenantFacts) -> Obstacle | None:
    limit = tenant.max_running
    if limit is None or tenant.running < limit:
        return None
    message = f"The account runs as many jobs as it may at once: {tenant.running} of {limit}."
    detail = WaitingDetail(limit=limit, running=tenant.running)
    return Obstacle(WaitReason.CONCURRENCY_LIMIT, message, tenant.limit_reached_at, detail)


def _in_queue(job: QueuedFacts, nodes: Sequence[NodeFacts]) -> Obstacle:
    since = min((node.since for node in _free(nodes) if node.since is not None), default=None)
    message = "The job waits for a free node."
    if job.jobs_ahead:
        jobs = "job" if job.jobs_ahead == 1 else "jobs"
        message = f"The job waits for a free node, behind {job.jobs_ahead} other {jobs} of the account."
    return Obstacle(WaitReason.QUEUE, message, since, WaitingDetail(jobs_ahead=job.jobs_ahead))


def _free(nodes: Sequence[NodeFacts]) -> list[NodeFacts]:
    return [node for node in nodes if node.occupied_at is None]


def _latest(nodes: Sequence[NodeFacts], moment: Callable[[NodeFacts], datetime | None]) -> datetime | None:
    return max((at for node in nodes if (at := moment(node)) is not None), default=None)


def _some(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names)[:MAX_NODES])


def _listed(names: Sequence[str]) -> str:
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(map(plain, names[:3])) + rest
