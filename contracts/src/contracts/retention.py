"""Words of deletion, and of taking along what one has before it.

The scheduler says which jobs are gone, auth which accounts; everybody else follows, and asks about what it missed.
"""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from contracts.auth import HASH_S, Done, Ip, Secret
from contracts.wire.errors import Kind, Refusal
from contracts.wire.model import Command, Fact
from contracts.wire.topic import Rpc, Topic, Traffic

JOBS_AT_ONCE = 500


class PurgeJob(Command):
    """Delete a job that has ended, with its inputs and outputs, everywhere."""

    job_id: UUID


class Purged(Fact):
    """The job is gone, and what belonged to it goes within seconds wherever it is."""


class JobPurged(Fact):
    """A job that is gone: whoever has something of it deletes that, and takes nothing of it any more.

    Attributes:
        with_inputs: whether the owner asked for it: then uploads that only this job used go too. One whose time was
            over leaves them to their own.
    """

    job_id: UUID
    tenant_id: UUID
    with_inputs: bool
    at: datetime


class FindJobs(Command):
    """Ask which of these jobs there are, whosever they are."""

    job_ids: Annotated[tuple[UUID, ...], Field(max_length=JOBS_AT_ONCE)]


class FoundJobs(Fact):
    """Those that there are, and those of them that have ended. What is not there never was, or was purged."""

    job_ids: tuple[UUID, ...]
    ended: tuple[UUID, ...] = ()


class ReadGraph(Command):
    """Ask for the workflow that a job runs, as it was sent."""

    job_id: UUID


class JobGraph(Fact):
    """The workflow of a job, in API format, and what its nodes get beside it."""

    graph: dict[str, Any]
    extra_data: dict[str, Any] | None = None


class EraseAccount(Command):
    """Erase one's own account, everywhere and for good. ``password`` proves that it is meant."""

    password: Secret
    ip: Ip | None = None


class EraseUser(Command):
    """An admin erases somebody's account, everywhere and for good."""

    user_id: UUID
    ip: Ip | None = None


class ReadErasures(Command):
    """Ask which accounts were erased, from behind the one of this number; 0 for all that ever were."""

    after: Annotated[int, Field(ge=0)] = 0


class Erasure(Fact):
    """An account that is no more. Nothing may be left of its tenant anywhere."""

    number: int
    tenant_id: UUID
    at: datetime


class Erasures(Fact):
    """Erasures by number, ``now`` by auth's clock; ``more`` says whether others follow."""

    erasures: tuple[Erasure, ...]
    more: bool
    now: datetime


class ListSessions(Command):
    """Ask for the sessions of the user in the subject."""


class SessionRecord(Fact):
    """A login and how long it lasts. A day after its end it is forgotten."""

    id: UUID
    created_at: datetime
    refreshed_at: datetime
    expires_at: datetime
    ended_at: datetime | None


class Sessions(Fact):
    """The newest sessions of one user, at most a thousand."""

    sessions: tuple[SessionRecord, ...]


class JobNotEnded(Refusal):
    """The job is {status}. Cancel it first: only a job that has ended can be purged."""

    kind, code = Kind.CONFLICT, "job.not_ended"


class JobStopping(Refusal):
    """The job was cancelled and its node is still letting go of it. Purge it in a moment."""

    kind, code = Kind.CONFLICT, "job.stopping"


class KeyOfPurgedJob(Refusal):
    """The job that this Idempotency-Key made was purged. Send a new key for a new job."""

    kind, code = Kind.INVALID, "idempotency.job_purged"


def _of_auth(
    noun: str,
    verb: str,
    payload: Any,
    reply: Any,
    says: str,
    *,
    by: tuple[str, ...] = ("gateway",),
    s: float = 2,
) -> Any:
    return Rpc(
        kind=Traffic.RPC, owner="auth", noun=noun, verb=verb, payload=payload, reply=reply, says=says,
        producers=by, consumers=("auth",), timeout_s=s,
    )  # fmt: skip


def _rpc(verb: str, payload: Any, reply: Any, says: str) -> Any:
    return Rpc(
        kind=Traffic.RPC, owner="scheduler", noun="job", verb=verb, payload=payload, reply=reply, says=says,
        producers=("gateway",), consumers=("scheduler",), timeout_s=1.8,
    )  # fmt: skip


PURGE_JOB: Rpc[PurgeJob, Purged] = _rpc("purge", PurgeJob, Purged, "delete this job and all that belongs to it")
FIND_JOBS: Rpc[FindJobs, FoundJobs] = _rpc(
    "find", FindJobs, FoundJobs, "which of these jobs are still there, and have ended"
)
READ_GRAPH: Rpc[ReadGraph, JobGraph] = _rpc("graph", ReadGraph, JobGraph, "the workflow that a job runs")
ERASE_ACCOUNT: Rpc[EraseAccount, Done] = _of_auth(
    "account", "erase", EraseAccount, Done, "somebody erases their account", s=HASH_S
)
ERASE_USER: Rpc[EraseUser, Done] = _of_auth("user", "erase", EraseUser, Done, "an admin erases an account")
READ_ERASURES: Rpc[ReadErasures, Erasures] = _of_auth(
    "erasures", "read", ReadErasures, Erasures, "which accounts are no more", by=("gateway", "scheduler")
)
LIST_SESSIONS: Rpc[ListSessions, Sessions] = _of_auth("session", "list", ListSessions, Sessions, "a user's sessions")
JOB_PURGED: Topic[JobPurged] = Topic(
    kind=Traffic.EVT,
    owner="scheduler",
    noun="job",
    verb="purged",
    key="job",
    payload=JobPurged,
    says="a job is gone, by its owner's wish or because its time was over",
    producers=("scheduler",),
    consumers=("gateway", "notifier"),
)

TOPICS = (
    PURGE_JOB, FIND_JOBS, READ_GRAPH, ERASE_ACCOUNT, ERASE_USER, READ_ERASURES, LIST_SESSIONS, JOB_PURGED,
)  # fmt: skip
