"""The state machine of a job. Transitions that are not listed do not exist.

queued -> leased -> running -> succeeded | failed | cancelled | expired
leased, running -> queued, for the next attempt
queued -> queued, when an operator holds or releases the job
"""

from enum import StrEnum

from contracts.scheduler.jobs import FINAL_STATES, JobState


class Cause(StrEnum):
    """The cause of a transition, recorded in the job's event."""

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
        (current, cause): state
        for current in (JobState.LEASED, JobState.RUNNING)
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


def find_next_state(state: JobState | None, cause: Cause) -> JobState | None:
    """Return the state after the transition; None if the cause does not apply. Final states never change."""
    return TRANSITIONS.get((state, cause))


def is_final(state: JobState) -> bool:
    return state in FINAL_STATES
