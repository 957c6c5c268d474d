"""The life of a job: every transition there is, and no other.

queued -> leased -> running -> succeeded | failed | cancelled | expired
leased, running -> queued, with the next attempt
queued -> queued, held by an operator or released again
"""

from enum import StrEnum

from contracts.scheduler.jobs import FINAL_STATES, JobState


class Cause(StrEnum):
    """What makes a transition happen; written into the job's log."""

    SUBMITTED = "submitted"
    CLAIMED = "claimed"
    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NODE_FAULT = "node_fault"
    LEASE_LAPSED = "lease_lapsed"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    POISONED = "poisoned"
    CANCELLED = "cancelled"
    START_TIME_PASSED = "start_time_passed"
    HELD = "held"
    RELEASED = "released"
    REQUEUED = "requeued"


TRANSITIONS: dict[tuple[JobState | None, Cause], JobState] = {
    (None, Cause.SUBMITTED): JobState.QUEUED,
    (JobState.QUEUED, Cause.CLAIMED): JobState.LEASED,
    (JobState.QUEUED, Cause.CANCELLED): JobState.CANCELLED,
    (JobState.QUEUED, Cause.START_TIME_PASSED): JobState.EXPIRED,
    (JobState.QUEUED, Cause.HELD): JobState.QUEUED,
    (JobState.QUEUED, Cause.RELEASED): JobState.QUEUED,
    (JobState.LEASED, Cause.STARTED): JobState.RUNNING,
    **{
        (held, cause): state
        for held in (JobState.LEASED, JobState.RUNNING)
        for cause, state in (
            (Cause.SUCCEEDED, JobState.SUCCEEDED),
            (Cause.FAILED, JobState.FAILED),
            (Cause.NODE_FAULT, JobState.QUEUED),
            (Cause.LEASE_LAPSED, JobState.QUEUED),
            (Cause.REQUEUED, JobState.QUEUED),
            (Cause.ATTEMPTS_EXHAUSTED, JobState.FAILED),
            (Cause.POISONED, JobState.FAILED),
            (Cause.CANCELLED, JobState.CANCELLED),
        )
    },
}


def after(state: JobState | None, cause: Cause) -> JobState | None:
    """The state that the cause leads to, or None where it changes nothing: final states never change."""
    return TRANSITIONS.get((state, cause))


def is_final(state: JobState) -> bool:
    """Whether the job has ended."""
    return state in FINAL_STATES
