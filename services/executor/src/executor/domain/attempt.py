"""What is remembered of an attempt, and how it may be stopped."""

from dataclasses import dataclass
from enum import StrEnum

from contracts.scheduler.attempts import Assignment, AttemptRef, FinishAttempt


class Phase(StrEnum):
    """How far an attempt got, as written before the next step is taken."""

    ASSIGNED = "assigned"  # the node knows nothing of it
    POSTING = "posting"  # the node may know it
    POSTED = "posted"  # the node took it
    ENDED = "ended"  # the scheduler is yet to be told


class Stop(StrEnum):
    """Why an attempt is stopped from outside."""

    CANCELLED = "cancelled"  # stop the prompt and report it
    LOST = "lost"  # another attempt took over or the job ended: stop the prompt, say nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One attempt in the journal.

    Attributes:
        client_id: under which the node's events are followed; part of the prompt, so it outlives an executor.
        begun_at: when the attempt was assigned, epoch seconds.
        finish: what is to be reported, once the attempt ended.
    """

    assignment: Assignment
    phase: Phase
    client_id: str
    begun_at: float
    finish: FinishAttempt | None = None

    @property
    def ref(self) -> AttemptRef:
        """The right to write about it."""
        return self.assignment.ref

    @property
    def prompt_id(self) -> str:
        """The id under which the node knows it."""
        return str(self.assignment.prompt_id)
