"""Words that the scheduler owns for its operators: nodes, everybody's jobs, statistics, and what was used by day.

Whether an operator may is decided before: only the gateway can say these, and it has auth record each change first.
The tenant in their subjects is the operator, but in ``usage.read``.
"""

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.auth import Tier
from contracts.scheduler import Job, JobError, JobState, NodeName, OccupiedBy
from contracts.wire.errors import Kind, Refusal
from contracts.wire.model import Command, Fact
from contracts.wire.topic import Rpc, Traffic

MAX_GRACE_S = 86_400.0
USAGE_DAYS = 90  # kept, today included


class Occupation(Fact):
    """What keeps a node that answers from taking jobs.

    Attributes:
        prompt_id: as the node names it; None where it cannot be told.
        job_id: whose attempt left the prompt, where it is one of ours.
    """

    by: OccupiedBy
    prompt_id: str | None
    job_id: UUID | None = None
    since: datetime


class NodeStanding(Fact):
    """One node as operators see it.

    Attributes:
        online: it was heard of within a lease's time, and its ComfyUI answers.
        cordoned_at: since when it is given no new work; None where it is.
        drain_at: when its running attempt is taken from it, or was.
        job_id, tenant_id, attempt, leased_at: of the attempt that it holds.
        blocked: it has been occupied for longer than its executor's bound, so somebody should look after it.
        occupied: what keeps it from taking jobs although it answers.
    """

    node: str
    online: bool
    seen_at: datetime
    cordoned_at: datetime | None
    drain_at: datetime | None
    job_id: UUID | None
    tenant_id: UUID | None
    attempt: int | None
    leased_at: datetime | None
    blocked: bool = False
    occupied: Occupation | None = None


class ListNodes(Command):
    """Ask for every node that ever joined and was not forgotten."""


class Nodes(Fact):
    """Every node, by name."""

    nodes: tuple[NodeStanding, ...]


class NodeOrder(StrEnum):
    """What an operator has a node do. Each is so afterwards, whether by this order or before."""

    CORDON = "cordon"  # no new work; what runs there goes on
    UNCORDON = "uncordon"  # work again
    DRAIN = "drain"  # no new work, and what runs there goes elsewhere after the grace
    FORGET = "forget"  # it is long gone; one that comes back is new
    CLEAR = "clear"  # prompts of others are removed from its queue, the running one too
    REFRESH = "refresh"  # its classes and models are read again now


class OrderNode(Command):
    """Order something of a node.

    Attributes:
        node: None for every node, with ``refresh`` only.
        grace_s: goes with ``drain``: how long the node's attempt may still run.
    """

    node: NodeName | None
    order: NodeOrder
    grace_s: Annotated[float, Field(ge=0, le=MAX_GRACE_S)] = 0


class NodeOrdered(Fact):
    """The node as it stands then; None once it is forgotten, and where the order was for every node."""

    node: NodeStanding | None


class SeenJob(Fact):
    """A job as operators see it; ``node`` is that of its newest attempt."""

    job: Job
    node: str | None


class SearchJobs(Command):
    """Ask for a page of everybody's jobs, newest first.

    Attributes:
        before: the last ``job_id`` of the page before.
        states: only these; all if empty.
        node: only those with an attempt on this node.
        created_after, created_before: only those accepted at or after the one and before the other.
    """

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    before: UUID | None = None
    tenant_id: UUID | None = None
    states: tuple[JobState, ...] = ()
    node: str | None = None
    workflow: str | None = None
    created_after: AwareDatetime | None = None
    created_before: AwareDatetime | None = None


class SeenPage(Fact):
    """A page of jobs; ``more`` says whether another one follows."""

    jobs: tuple[SeenJob, ...]
    more: bool


class AttemptStanding(Fact):
    """One try at a job. ``outcome`` is None while it lives, ``withdrawn`` where an operator took it from its node."""

    attempt: int
    node: str
    leased_at: datetime
    ended_at: datetime | None
    outcome: str | None
    gpu_seconds: float | None
    error: JobError | None


class InspectJob(Command):
    """Ask for one job, whosever it is."""

    job_id: UUID


class JobInspected(Fact):
    """A job with every try at it, first to last."""

    job: Job
    attempts: tuple[AttemptStanding, ...]


class JobOrder(StrEnum):
    """What an operator does with somebody's job."""

    CANCEL = "cancel"  # as its owner would
    HOLD = "hold"  # a waiting job is not run
    RELEASE = "release"  # until now
    REQUEUE = "requeue"  # one that runs waits again at once; one that failed runs again as a new job
    PRIORITISE = "prioritise"  # among its owner's own


class OrderJob(Command):
    """Order something of a job; ``retry_id`` names the new job where a failed one is requeued."""

    job_id: UUID
    order: JobOrder
    priority: Annotated[int, Field(ge=-100, le=100)] | None = None
    retry_id: UUID | None = None


class JobOrdered(Fact):
    """The job as it stands then, or the new one that runs it again."""

    job: Job


class ReadStats(Command):
    """Ask how the fleet does."""


class TierQueue(Fact):
    """What one tier's tenants have waiting and running; ``oldest_wait_s`` None where nothing waits."""

    tier: Tier
    waiting: int
    held: int
    running: int
    oldest_wait_s: float | None


class NodeCounts(Fact):
    """How many nodes there are, and how many of them are so. ``working`` ones hold an attempt."""

    total: int
    online: int
    working: int
    cordoned: int
    draining: int
    blocked: int = 0


class Throughput(Fact):
    """Jobs that ended in the last so many minutes, however, and the images that they made."""

    minutes: int
    jobs: int
    images: int


class Waits(Fact):
    """Seconds that jobs waited which ended in the last hour; None where there is none."""

    p50_s: float | None
    p95_s: float | None


class Stats(Fact):
    """How the fleet does, at most some seconds ago; ``failures`` counts error codes of 24 hours."""

    at: datetime
    queue: tuple[TierQueue, ...]
    nodes: NodeCounts
    throughput: tuple[Throughput, ...]
    waits: Waits
    failures: dict[str, int]


class ReadUsage(Command):
    """Ask what the tenant in the subject has used by day; with the fleet's own token, what everybody has."""

    days: Annotated[int, Field(ge=1, le=USAGE_DAYS)] = 30


class EndpointUse(Fact):
    """What jobs that came by one endpoint have used: images once they have ended, GPU-seconds as attempts end."""

    images: int
    gpu_seconds: float


class UsageDay(Fact):
    """What the jobs accepted on one UTC day have used.

    Attributes:
        jobs: accepted that day.
        images: made by them, or reserved for them where they have not ended.
        gpu_seconds: that nodes spent on them, on whatever day.
        endpoints: the share of each endpoint; none of jobs that came by the door for other systems.
    """

    day: date
    jobs: int
    images: int
    gpu_seconds: float
    endpoints: dict[str, EndpointUse] = Field(default_factory=dict)


class Usage(Fact):
    """Days with any use, newest first."""

    days: tuple[UsageDay, ...]


class DeadLetter(Fact):
    """A message of an executor that can never be handled: unreadable, impossible to store, or meeting a bug.

    Attributes:
        subject: that it was sent to.
        node: whose executor sent it.
        tenant_id, job_id: as the message claims, where they could be read.
        code: of the refusal that it was answered with.
        reason: what was wrong, for operators.
        excerpt: its first bytes as text, cleaned; at most 16 KiB.
        size_bytes: of the whole message.
    """

    id: UUID
    at: datetime
    subject: str
    request_id: str | None
    node: str
    tenant_id: UUID | None
    job_id: UUID | None
    code: str
    reason: str
    excerpt: str
    size_bytes: int


class ListDeadLetters(Command):
    """Ask for a page of dead letters, newest first.

    Attributes:
        before: id of the last one of the page before.
        node: only those of this node's executor.
    """

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    before: UUID | None = None
    node: NodeName | None = None


class DeadLetterPage(Fact):
    """A page of dead letters; ``more`` says whether another one follows."""

    letters: tuple[DeadLetter, ...]
    more: bool


class UnknownNode(Refusal):
    """There is no such node. GET /api/v1/admin/nodes lists all."""

    kind, code = Kind.NOT_FOUND, "node.not_found"


class NodeAlive(Refusal):
    """The node reported recently or still holds a job. Stop its executor first."""

    kind, code = Kind.CONFLICT, "node.alive"


class JobHasEnded(Refusal):
    """The job has already ended: {state}. This request is for jobs that have not ended."""

    kind, code = Kind.CONFLICT, "job.ended"


class JobNotWaiting(Refusal):
    """The job is {state}. Only a waiting job can be held. Requeue it first."""

    kind, code = Kind.CONFLICT, "job.not_waiting"


class JobNotRepeatable(Refusal):
    """The job is {state}. Only a running job can be requeued, and only a failed one can be run again."""

    kind, code = Kind.CONFLICT, "job.not_repeatable"


def _rpc(noun: str, verb: str, payload: Any, reply: Any, says: str) -> Any:
    return Rpc(
        kind=Traffic.RPC, owner="scheduler", noun=noun, verb=verb, payload=payload, reply=reply, says=says,
        producers=("gateway",), consumers=("scheduler",), timeout_s=5.0,
    )  # fmt: skip


LIST_NODES: Rpc[ListNodes, Nodes] = _rpc("node", "list", ListNodes, Nodes, "an admin looks at the nodes")
ORDER_NODE: Rpc[OrderNode, NodeOrdered] = _rpc("node", "order", OrderNode, NodeOrdered, "an admin orders a node")
SEARCH_JOBS: Rpc[SearchJobs, SeenPage] = _rpc("job", "search", SearchJobs, SeenPage, "an admin looks for jobs")
INSPECT_JOB: Rpc[InspectJob, JobInspected] = _rpc("job", "inspect", InspectJob, JobInspected, "an admin reads a job")
ORDER_JOB: Rpc[OrderJob, JobOrdered] = _rpc("job", "order", OrderJob, JobOrdered, "an admin orders a job")
READ_STATS: Rpc[ReadStats, Stats] = _rpc("stats", "read", ReadStats, Stats, "how the fleet does")
READ_USAGE: Rpc[ReadUsage, Usage] = _rpc("usage", "read", ReadUsage, Usage, "what was used by day")
LIST_DEAD_LETTERS: Rpc[ListDeadLetters, DeadLetterPage] = _rpc(
    "dead_letters", "list", ListDeadLetters, DeadLetterPage, "an admin reads messages that could not be handled"
)

TOPICS = (
    LIST_NODES, ORDER_NODE, SEARCH_JOBS, INSPECT_JOB, ORDER_JOB, READ_STATS, READ_USAGE, LIST_DEAD_LETTERS,
)  # fmt: skip
