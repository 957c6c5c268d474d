"""The journal record of an attempt, and the reasons to stop one."""

from dataclasses import dataclass
from enum import StrEnum

from contracts.scheduler.attempts import Assignment, AttemptRef, FinishAttempt


class Phase(StrEnum):
    """Progress of an attempt, written to the journal before each step."""

    ASSIGNED = "assigned"  # not posted to the node
    POSTING = "posting"  # may have been posted to the node
    POSTED = "posted"  # accepted by the node
    ENDED = "ended"  # ended, not yet reported to the scheduler


class StopReason(StrEnum):
    """Why an attempt is stopped."""

    CANCELLED = "cancelled"  # cancelled: stop the prompt and report it
    RELEASED = "released"  # the executor is being stopped: stop the prompt and hand the job back
    LOST = "lost"  # lease lost or job ended: stop the prompt without a report


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """One attempt in the journal.

    Attributes:
        client_id: id of the websocket that gets the prompt's events; part of the prompt, so it survives an executor
            restart.
        begun_at: since when its run time counts, epoch seconds: since it was assigned, or since it could start if it
            had to wait for inputs, for another attempt or for prompts of other clients.
        finish: the report to send, once the attempt has ended.
    """

    assignment: Assignment
    phase: Phase
    client_id: str
    begun_at: float
    finish: FinishAttempt | None = None

    @property
    def ref(self) -> AttemptRef:
        """The attempt's id and fencing token, for messages to the scheduler."""
        return self.assignment.ref

    @property
    def prompt_id(self) -> str:
        """The prompt's id on the node."""
        return str(self.assignment.prompt_id)
