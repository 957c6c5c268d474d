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

# These end only when someone acts, or when foreign prompts of unknown length end, so no estimate is possible.
REASONS_WITHOUT_ETA = frozenset(WaitReason) - {WaitReason.QUEUE, WaitReason.CONCURRENCY_LIMIT}


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A node of the fleet.

    Attributes:
        digest: digest of its catalog; None before it reported one.
        seen_at: time of its last heartbeat.
        state_since: when it went online or offline or changed its catalog; None if unknown.
        cordoned_at: when it was cordoned; None if it takes new work.
        shared_since: when foreign prompts, which run first, came into its queue; None if there are none.
        blocked_since: when it was blocked; None if it is not.
        memory_gib: memory of its GPU; 0 if unknown.
        gpu_model: model of its first GPU; empty if unknown.
        busy_since: when its current attempt began; None if it has no attempt.
        prefetched: number of attempts that it has prefetched, to start them after the current one.
        loaded: models that it has loaded.
    """

    name: str
    digest: str | None
    online: bool
    seen_at: datetime
    state_since: datetime | None = None
    cordoned_at: datetime | None = None
    shared_since: datetime | None = None
    blocked_since: datetime | None = None
    memory_gib: int = 0
    gpu_model: str = ""
    busy_since: datetime | None = None
    prefetched: int = 0
    loaded: frozenset[str] = frozenset()

    @property
    def occupied_since(self) -> datetime | None:
        """When the node was blocked or became busy with foreign prompts; None if it is neither."""
        return self.blocked_since or self.shared_since


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
        queued_since: when it was last queued, held or released.
        jobs_ahead: queued jobs of its tenant before it; None if not counted.
        avoid_node: the job avoids this node until ``avoid_until``, unless no other node can run it.
    """

    queued_since: datetime
    now: datetime
    jobs_ahead: int | None
    on_hold: bool = False
    avoid_node: str | None = None
    avoid_until: datetime | None = None


class Obstacle(NamedTuple):
    """What keeps a job from running. ``since`` is None if it exists for as long as the job is queued, or longer."""

    reason: WaitReason
    message: str
    since: datetime | None = None
    detail: WaitingDetail = WaitingDetail()


@dataclass(frozen=True)
class NodeSurvey:
    """The state of the nodes for all jobs with the same requirement.

    It is used for many jobs, so what follows from the nodes is computed once.

    Attributes:
        open_nodes: online nodes that meet the requirement and are not cordoned, whether they can take a job now or not.
        obstacle: what keeps all nodes from running the jobs; None if there is nothing.
    """

    open_nodes: tuple[NodeFacts, ...] = ()
    obstacle: Obstacle | None = None

    @cached_property
    def digests(self) -> frozenset[str]:
        """Digests of the catalogs of the open nodes."""
        return frozenset(node.digest for node in self.open_nodes if node.digest)

    @cached_property
    def open_nodes_by_gpu(self) -> Mapping[str, int]:
        """The number of open nodes by GPU model."""
        return Counter(node.gpu_model for node in self.open_nodes)

    @cached_property
    def usable_nodes(self) -> tuple[NodeFacts, ...]:
        """The open nodes that are neither blocked nor busy with foreign prompts. They may be running jobs."""
        return tuple(_list_usable_nodes(self.open_nodes))

    @cached_property
    def usable_nodes_by_gpu(self) -> Mapping[str, int]:
        """The number of usable nodes by GPU model."""
        return Counter(node.gpu_model for node in self.usable_nodes)

    @cached_property
    def usable_since(self) -> datetime | None:
        """The earliest time at which one of the usable nodes went online or changed its catalog."""
        return min((node.state_since for node in self.usable_nodes if node.state_since is not None), default=None)

    @cached_property
    def working_nodes(self) -> tuple[NodeFacts, ...]:
        """The usable nodes that run a job of this fleet now."""
        return tuple(node for node in self.usable_nodes if node.busy_since is not None)

    @cached_property
    def loaded_model_sets(self) -> frozenset[frozenset[str]]:
        """Each set of models that a usable node has loaded."""
        return frozenset(node.loaded for node in self.usable_nodes)


def survey_nodes(
    nodes: Sequence[NodeFacts], missing_needs: Mapping[str, MissingNeeds], *, memory_over_gib: int | None = None
) -> NodeSurvey:
    """Survey the nodes once for all jobs with the same requirement.

    Args:
        nodes: all known nodes, online or not.
        missing_needs: the needs that each catalog does not meet, by digest. Catalogs that meet all needs are left out.
        memory_over_gib: a GPU with this much memory was too small for the jobs. While a usable node has more, only
            nodes with more count as open.
    """
    online = [node for node in nodes if node.online and node.digest is not None]
    if not online:
        return NodeSurvey(obstacle=_explain_no_node_online(nodes))
    capable = [node for node in online if node.digest not in missing_needs]
    if not capable:
        return NodeSurvey(obstacle=_explain_no_capable_node(nodes, online, missing_needs))
    open_nodes = tuple(node for node in capable if node.cordoned_at is None)
    if not open_nodes:
        return NodeSurvey(obstacle=_explain_all_cordoned(capable))
    if memory_over_gib is not None and has_larger_node(open_nodes, memory_over_gib):
        open_nodes = tuple(node for node in open_nodes if node.memory_gib > memory_over_gib)
    return NodeSurvey(open_nodes, _explain_all_occupied(open_nodes))


def has_larger_node(nodes: Sequence[NodeFacts], memory_gib: int) -> bool:
    """Whether a usable node among these has a GPU with more than ``memory_gib`` GiB."""
    return any(node.memory_gib > memory_gib for node in _list_usable_nodes(nodes))


def explain_waiting(job: QueuedJobFacts, tenant: TenantFacts, survey: NodeSurvey) -> Waiting:
    """Explain why the job waits. Of several reasons, return the one that must be resolved first."""
    if job.on_hold:
        detail = WaitingDetail(cause=HoldCause.OPERATOR)
        return _build_waiting(job, Obstacle(WaitReason.HELD, "An operator holds the job.", detail=detail))
    if not tenant.is_active:
        return _build_waiting(job, Obstacle(WaitReason.ACCOUNT_DISABLED, "The account of the job's owner is disabled."))
    obstacle = survey.obstacle or _explain_avoided_node(job, survey.open_nodes) or _explain_concurrency_limit(tenant)
    return _build_waiting(job, obstacle or _explain_queue(job, survey))


def _build_waiting(job: QueuedJobFacts, obstacle: Obstacle) -> Waiting:
    since = max(job.queued_since, obstacle.since) if obstacle.since is not None else job.queued_since
    return Waiting(reason=obstacle.reason, since=since, message=obstacle.message, detail=obstacle.detail)


def _explain_no_node_online(nodes: Sequence[NodeFacts]) -> Obstacle:
    since = _find_latest_time(nodes, lambda node: node.state_since or node.seen_at)
    message = "No node is online. The job starts when one comes back."
    return Obstacle(WaitReason.NO_NODE_ONLINE, message, since, WaitingDetail(last_online_at=since))


def _explain_no_capable_node(
    nodes: Sequence[NodeFacts], online: Sequence[NodeFacts], missing_needs: Mapping[str, MissingNeeds]
) -> Obstacle:
    """Explain which needs no online node meets.

    The obstacle began when a node last went online or offline or changed its catalog.
    """
    since = _find_latest_time(nodes, lambda node: node.state_since)
    missing_by_node = {node.name: missing_needs[node.digest] for node in online if node.digest is not None}
    with_classes = {name: needs for name, needs in missing_by_node.items() if not needs.classes}
    if with_classes:
        missing = _list_missing_options(with_classes)
        names = _join_names([f"{option.value} ({option.node_class}.{option.input})" for option in missing])
        message = f"No online node has all models and options that the job needs. Missing: {names}."
        detail = WaitingDetail(missing=missing[:MAX_OPTIONS], nodes=_list_first_names(with_classes))
        return Obstacle(WaitReason.MODEL_MISSING, message, since, detail)
    everywhere = set.intersection(*(set(needs.classes) for needs in missing_by_node.values()))
    fewest = min(missing_by_node.values(), key=lambda needs: len(needs.classes)).classes
    classes = tuple(sorted(everywhere or fewest))
    message = f"No online node has the node class{'es' if len(classes) > 1 else ''} {_join_names(classes)}."
    if not everywhere:
        message = f"No online node has all node classes of the job. The closest one lacks {_join_names(classes)}."
    detail = WaitingDetail(classes=classes[:MAX_CLASSES], nodes=_list_first_names(missing_by_node))
    return Obstacle(WaitReason.NO_NODE_HAS_CLASS, message, since, detail)


def _list_missing_options(missing_by_node: Mapping[str, MissingNeeds]) -> tuple[MissingOption, ...]:
    """List the missing options, those that most nodes lack first."""
    nodes_by_option: dict[OptionNeed, list[str]] = {}
    for node, needs in missing_by_node.items():
        for option in needs.options:
            nodes_by_option.setdefault(option, []).append(node)
    ordered = sorted(nodes_by_option.items(), key=lambda item: (-len(item[1]), item[0]))
    return tuple(
        MissingOption(
            node_class=option.node_class,
            input=option.input,
            value=option.value[:MAX_VALUE],
            nodes=_list_first_names(nodes),
        )
        for option, nodes in ordered
    )


def _explain_all_cordoned(nodes: Sequence[NodeFacts]) -> Obstacle:
    detail = WaitingDetail(cause=HoldCause.NODES_CORDONED, nodes=_list_first_names(node.name for node in nodes))
    message = "Every node that can run the job is cordoned by an operator and takes no new work."
    return Obstacle(WaitReason.HELD, message, _find_latest_time(nodes, lambda node: node.cordoned_at), detail)


def _explain_all_occupied(nodes: Sequence[NodeFacts]) -> Obstacle | None:
    """Return an obstacle if every node is blocked or busy with foreign prompts."""
    if _list_usable_nodes(nodes):
        return None
    since = _find_latest_time(nodes, lambda node: node.occupied_since)
    shared = [node.name for node in nodes if node.blocked_since is None]
    if shared:
        message = "Every node that can run the job is busy with prompts that were sent to it directly."
        return Obstacle(WaitReason.NODE_BUSY_ELSEWHERE, message, since, WaitingDetail(nodes=_list_first_names(shared)))
    message = "Every node that can run the job is blocked. An operator has to look at it."
    detail = WaitingDetail(nodes=_list_first_names(node.name for node in nodes))
    return Obstacle(WaitReason.NODE_BLOCKED, message, since, detail)


def _explain_avoided_node(job: QueuedJobFacts, nodes: Sequence[NodeFacts]) -> Obstacle | None:
    """Return an obstacle if the job must avoid a node and all others are blocked or busy with foreign prompts."""
    if job.avoid_node is None or job.avoid_until is None or job.avoid_until <= job.now:
        return None
    others = [node for node in nodes if node.name != job.avoid_node]
    if not others:  # the only node that can run the job may take it now
        return None
    if len(others) == len(nodes) or _list_usable_nodes(others):
        return None
    message = f"Node {job.avoid_node} failed while running this job, so only other nodes may take it for now."
    detail = WaitingDetail(
        cause=HoldCause.RETRY, until=job.avoid_until, nodes=_list_first_names(node.name for node in others)
    )
    return Obstacle(WaitReason.HELD, message, _find_latest_time(others, lambda node: node.occupied_since), detail)


def _explain_concurrency_limit(tenant: TenantFacts) -> Obstacle | None:
    limit = tenant.max_running
    if limit is None or tenant.running < limit:
        return None
    message = f"The account has reached its limit of concurrent jobs: {tenant.running} of {limit} are running."
    detail = WaitingDetail(limit=limit, running=tenant.running)
    return Obstacle(WaitReason.CONCURRENCY_LIMIT, message, tenant.limit_reached_at, detail)


def _explain_queue(job: QueuedJobFacts, survey: NodeSurvey) -> Obstacle:
    message = "The job waits for a free node."
    if job.jobs_ahead:
        jobs = "job" if job.jobs_ahead == 1 else "jobs"
        message = f"The job waits for a free node, behind {job.jobs_ahead} other {jobs} of the account."
    return Obstacle(WaitReason.QUEUE, message, survey.usable_since, WaitingDetail(jobs_ahead=job.jobs_ahead))


def _list_usable_nodes(nodes: Sequence[NodeFacts]) -> list[NodeFacts]:
    return [node for node in nodes if node.occupied_since is None]


def _find_latest_time(nodes: Sequence[NodeFacts], moment: Callable[[NodeFacts], datetime | None]) -> datetime | None:
    return max((at for node in nodes if (at := moment(node)) is not None), default=None)


def _list_first_names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names)[:MAX_NODES])


def _join_names(names: Sequence[str]) -> str:
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(map(make_printable, names[:3])) + rest
