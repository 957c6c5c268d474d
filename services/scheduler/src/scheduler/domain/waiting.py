"""Explains why a job waits, from facts about the nodes, the tenant and the job."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import NamedTuple
from uuid import UUID

from contracts.scheduler.waiting import HoldCause, MissingOption, Waiting, WaitingDetail, WaitReason
from contracts.wire.show_values import make_printable
from scheduler.domain.catalog import MissingNeeds, OptionNeed

# Bounds of an explanation: a page of 100 jobs must fit into one message.
MAX_NODES = 10
MAX_CLASSES = 10
MAX_OPTIONS = 5
MAX_VALUE = 200  # characters

# No estimate is possible: these end only when someone acts, or when foreign prompts of unknown length end.
REASONS_WITHOUT_ETA = frozenset(WaitReason) - {WaitReason.QUEUE, WaitReason.CONCURRENCY_LIMIT}


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A node of the fleet.

    Attributes:
        digest: digest of its catalog; None before it reported one.
        seen_at: time of its last heartbeat.
        since: when it went online or offline or changed its catalog; None if unknown.
        cordoned_at: when it was cordoned; None if it takes new work.
        shared_at: since when foreign prompts are in its queue, which run first; None if there are none.
        blocked_at: since when it is blocked; None if it is not.
        memory_gib: memory of its GPU; 0 if unknown.
        node_class: name of its first GPU; empty if unknown.
        busy_since: when its current attempt began; None without one.
        prefetched: number of attempts that it starts after that one.
        loaded: models that it has loaded.
    """

    name: str
    digest: str | None
    online: bool
    seen_at: datetime
    since: datetime | None = None
    cordoned_at: datetime | None = None
    shared_at: datetime | None = None
    blocked_at: datetime | None = None
    memory_gib: int = 0
    node_class: str = ""
    busy_since: datetime | None = None
    prefetched: int = 0
    loaded: frozenset[str] = frozenset()

    @property
    def occupied_at(self) -> datetime | None:
        """Since when the node is blocked or busy with foreign prompts; None if it can take jobs."""
        return self.blocked_at or self.shared_at


@dataclass(frozen=True, slots=True)
class TenantFacts:
    """The concurrency limit of a tenant and its use.

    Attributes:
        running: number of live attempts.
        max_running: the limit; None means unlimited.
        limit_reached_at: when the newest live attempt began; None below the limit.
        vtime: GPU-seconds used / weight; the tenant with the least is next.
    """

    id: UUID
    is_active: bool
    running: int
    max_running: int | None
    limit_reached_at: datetime | None = None
    vtime: float = 0.0
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class QueuedJobFacts:
    """A queued job.

    Attributes:
        since: when it was last queued, held or released.
        jobs_ahead: queued jobs of its tenant before it; None if not counted.
        avoid_node: the job avoids this node until ``avoid_until``, unless no other node can run it.
    """

    since: datetime
    now: datetime
    jobs_ahead: int | None
    on_hold: bool = False
    avoid_node: str | None = None
    avoid_until: datetime | None = None


class Obstacle(NamedTuple):
    """What keeps a job from running. ``since`` None: unknown, at least as long as the job is queued."""

    reason: WaitReason
    message: str
    since: datetime | None = None
    detail: WaitingDetail = WaitingDetail()


@dataclass(frozen=True)
class NodeSurvey:
    """The state of the nodes for all jobs with the same needs.

    It is used for many jobs, so what follows from the nodes is computed once.

    Attributes:
        open: nodes that can run the jobs and are not cordoned, whether busy or not.
        obstacle: what keeps all nodes from running the jobs; None if there is nothing.
    """

    open: tuple[NodeFacts, ...] = ()
    obstacle: Obstacle | None = None

    @cached_property
    def digests(self) -> frozenset[str]:
        """Digests of the catalogs of the nodes in ``open``."""
        return frozenset(node.digest for node in self.open if node.digest)

    @cached_property
    def classes(self) -> Mapping[str, int]:
        """The number of open nodes by class."""
        return Counter(node.node_class for node in self.open)

    @cached_property
    def free(self) -> tuple[NodeFacts, ...]:
        """The open nodes that are neither blocked nor busy with foreign prompts."""
        return tuple(_list_free_nodes(self.open))

    @cached_property
    def free_classes(self) -> Mapping[str, int]:
        """The number of free nodes by class."""
        return Counter(node.node_class for node in self.free)

    @cached_property
    def free_since(self) -> datetime | None:
        """Since when the first of the free nodes is in its state."""
        return min((node.since for node in self.free if node.since is not None), default=None)

    @cached_property
    def working(self) -> tuple[NodeFacts, ...]:
        """The free nodes that run a job."""
        return tuple(node for node in self.free if node.busy_since is not None)

    @cached_property
    def loaded(self) -> frozenset[frozenset[str]]:
        """Each set of models that a free node has loaded."""
        return frozenset(node.loaded for node in self.free)


def survey_nodes(
    nodes: Sequence[NodeFacts], lacking: Mapping[str, MissingNeeds], *, memory_over_gib: int | None = None
) -> NodeSurvey:
    """Survey the nodes once for all jobs with the same needs.

    Args:
        nodes: all known nodes, online or not.
        lacking: the needs that each catalog does not meet, by digest. Catalogs that meet all needs are left out.
        memory_over_gib: a GPU of this size was too small for the jobs: larger ones run them while any is available.
    """
    online = [node for node in nodes if node.online and node.digest is not None]
    if not online:
        return NodeSurvey(obstacle=_explain_no_node_online(nodes))
    able = [node for node in online if node.digest not in lacking]
    if not able:
        return NodeSurvey(obstacle=_explain_no_able_node(nodes, online, lacking))
    open_ = tuple(node for node in able if node.cordoned_at is None)
    if not open_:
        return NodeSurvey(obstacle=_explain_all_cordoned(able))
    if memory_over_gib is not None and has_larger_node(open_, memory_over_gib):
        open_ = tuple(node for node in open_ if node.memory_gib > memory_over_gib)
    return NodeSurvey(open_, _explain_all_occupied(open_))


def has_larger_node(nodes: Sequence[NodeFacts], memory_gib: int) -> bool:
    """Whether one of these nodes has a larger GPU than this and is neither blocked nor busy with foreign prompts."""
    return any(node.memory_gib > memory_gib for node in _list_free_nodes(nodes))


def explain_waiting(job: QueuedJobFacts, tenant: TenantFacts, surveyed: NodeSurvey) -> Waiting:
    """Explain why the job waits. Of several reasons, return the one that must be resolved first."""
    if job.on_hold:
        detail = WaitingDetail(cause=HoldCause.OPERATOR)
        return _build_waiting(job, Obstacle(WaitReason.HELD, "An operator holds the job.", detail=detail))
    if not tenant.is_active:
        return _build_waiting(job, Obstacle(WaitReason.ACCOUNT_DISABLED, "The account of the job's owner is disabled."))
    obstacle = surveyed.obstacle or _explain_avoided_node(job, surveyed.open) or _explain_concurrency_limit(tenant)
    return _build_waiting(job, obstacle or _explain_queue(job, surveyed))


def _build_waiting(job: QueuedJobFacts, obstacle: Obstacle) -> Waiting:
    since = max(job.since, obstacle.since) if obstacle.since is not None else job.since
    return Waiting(reason=obstacle.reason, since=since, message=obstacle.message, detail=obstacle.detail)


def _explain_no_node_online(nodes: Sequence[NodeFacts]) -> Obstacle:
    since = _find_latest_time(nodes, lambda node: node.since or node.seen_at)
    message = "No node is online. The job starts when one comes back."
    return Obstacle(WaitReason.NO_NODE_ONLINE, message, since, WaitingDetail(last_online_at=since))


def _explain_no_able_node(
    nodes: Sequence[NodeFacts], online: Sequence[NodeFacts], lacking: Mapping[str, MissingNeeds]
) -> Obstacle:
    """No online node meets the needs, since the last node that did went offline or changed its catalog."""
    since = _find_latest_time(nodes, lambda node: node.since)
    lacks = {node.name: lacking[node.digest] for node in online if node.digest is not None}
    with_classes = {name: lack for name, lack in lacks.items() if not lack.classes}
    if with_classes:
        missing = _list_missing_options(with_classes)
        named = _join_names([f"{one.value} ({one.node_class}.{one.input})" for one in missing])
        message = f"No online node has all models and options that the job needs. Missing: {named}."
        detail = WaitingDetail(missing=missing[:MAX_OPTIONS], nodes=_list_first_names(with_classes))
        return Obstacle(WaitReason.MODEL_MISSING, message, since, detail)
    everywhere = set.intersection(*(set(lack.classes) for lack in lacks.values()))
    fewest = min(lacks.values(), key=lambda lack: len(lack.classes)).classes
    classes = tuple(sorted(everywhere or fewest))
    message = f"No online node has the node class{'es' if len(classes) > 1 else ''} {_join_names(classes)}."
    if not everywhere:
        message = f"No online node has all node classes of the job. The closest one lacks {_join_names(classes)}."
    detail = WaitingDetail(classes=classes[:MAX_CLASSES], nodes=_list_first_names(lacks))
    return Obstacle(WaitReason.NO_NODE_HAS_CLASS, message, since, detail)


def _list_missing_options(lacks: Mapping[str, MissingNeeds]) -> tuple[MissingOption, ...]:
    """List the missing options, those that most nodes lack first."""
    where: dict[OptionNeed, list[str]] = {}
    for name, lack in lacks.items():
        for option in lack.options:
            where.setdefault(option, []).append(name)
    ordered = sorted(where.items(), key=lambda found: (-len(found[1]), found[0]))
    return tuple(
        MissingOption(
            node_class=one.node_class, input=one.input, value=one.value[:MAX_VALUE], nodes=_list_first_names(names)
        )
        for one, names in ordered
    )


def _explain_all_cordoned(able: Sequence[NodeFacts]) -> Obstacle:
    detail = WaitingDetail(cause=HoldCause.NODES_CORDONED, nodes=_list_first_names(node.name for node in able))
    message = "Every node that can run the job is cordoned by an operator and takes no new work."
    return Obstacle(WaitReason.HELD, message, _find_latest_time(able, lambda node: node.cordoned_at), detail)


def _explain_all_occupied(nodes: Sequence[NodeFacts]) -> Obstacle | None:
    """Return an obstacle if every node is blocked or busy with foreign prompts."""
    if _list_free_nodes(nodes):
        return None
    since = _find_latest_time(nodes, lambda node: node.occupied_at)
    shared = [node.name for node in nodes if node.blocked_at is None]
    if shared:
        message = "Every node that can run the job is busy with prompts that were sent to it directly."
        return Obstacle(WaitReason.NODE_BUSY_ELSEWHERE, message, since, WaitingDetail(nodes=_list_first_names(shared)))
    message = "Every node that can run the job is blocked. An operator has to look at it."
    detail = WaitingDetail(nodes=_list_first_names(node.name for node in nodes))
    return Obstacle(WaitReason.NODE_BLOCKED, message, since, detail)


def _explain_avoided_node(job: QueuedJobFacts, nodes: Sequence[NodeFacts]) -> Obstacle | None:
    """Return an obstacle if the job must avoid its last node and all other nodes are blocked or busy elsewhere."""
    if job.avoid_node is None or job.avoid_until is None or job.avoid_until <= job.now:
        return None
    others = [node for node in nodes if node.name != job.avoid_node]
    if (
        not others or len(others) == len(nodes) or _list_free_nodes(others)
    ):  # the only node that can run it may take it now
        return None
    message = f"Node {job.avoid_node} failed while running this job, so only other nodes may take it for now."
    detail = WaitingDetail(
        cause=HoldCause.RETRY, until=job.avoid_until, nodes=_list_first_names(node.name for node in others)
    )
    return Obstacle(WaitReason.HELD, message, _find_latest_time(others, lambda node: node.occupied_at), detail)


def _explain_concurrency_limit(tenant: TenantFacts) -> Obstacle | None:
    limit = tenant.max_running
    if limit is None or tenant.running < limit:
        return None
    message = f"The account has reached its limit of concurrent jobs: {tenant.running} of {limit} are running."
    detail = WaitingDetail(limit=limit, running=tenant.running)
    return Obstacle(WaitReason.CONCURRENCY_LIMIT, message, tenant.limit_reached_at, detail)


def _explain_queue(job: QueuedJobFacts, surveyed: NodeSurvey) -> Obstacle:
    message = "The job waits for a free node."
    if job.jobs_ahead:
        jobs = "job" if job.jobs_ahead == 1 else "jobs"
        message = f"The job waits for a free node, behind {job.jobs_ahead} other {jobs} of the account."
    return Obstacle(WaitReason.QUEUE, message, surveyed.free_since, WaitingDetail(jobs_ahead=job.jobs_ahead))


def _list_free_nodes(nodes: Sequence[NodeFacts]) -> list[NodeFacts]:
    return [node for node in nodes if node.occupied_at is None]


def _find_latest_time(nodes: Sequence[NodeFacts], moment: Callable[[NodeFacts], datetime | None]) -> datetime | None:
    return max((at for node in nodes if (at := moment(node)) is not None), default=None)


def _list_first_names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names)[:MAX_NODES])


def _join_names(names: Sequence[str]) -> str:
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(map(make_printable, names[:3])) + rest
