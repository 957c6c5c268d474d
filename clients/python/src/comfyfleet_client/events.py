"""Typed job events, and their order across reconnects."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from comfyfleet_client.errors import UnreadableResponse
from comfyfleet_client.json_values import from_json
from comfyfleet_client.results import COMPLETED, FINAL_STATUSES, JobError, Output, Waiting


@dataclass(frozen=True, slots=True)
class Event:
    type: ClassVar[str] = ""

    job_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Snapshot(Event):
    """The job's state when watching starts: always the first event."""

    type: ClassVar[str] = "snapshot"

    seq: int
    status: str
    progress: float = 0.0
    attempt: int = 0
    queue_position: int | None = None
    eta_seconds: float | None = None
    outputs: tuple[Output, ...] = ()
    error: JobError | None = None
    waiting: Waiting | None = None
    eta_p90_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class StillWaiting(Event):
    """The reason why a pending job waits has changed."""

    type: ClassVar[str] = "waiting"

    waiting: Waiting | None = None
    queue_position: int | None = None
    eta_seconds: float | None = None
    eta_p90_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Status(Event):
    """The job's next state; ``seq`` counts from 1 without gaps."""

    type: ClassVar[str] = "status"

    seq: int
    status: str
    attempt: int = 0
    error: JobError | None = None


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """Progress of the running attempt, percent. Some events may be skipped."""

    type: ClassVar[str] = "progress"

    progress: float
    attempt: int = 0
    value: float = 0.0
    max: float = 0.0
    node: str | None = None
    node_class: str | None = None
    nodes_done: int = 0
    nodes_total: int = 0
    eta_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class OutputMade(Output):
    """One output; all come before the status ``completed``."""

    type: ClassVar[str] = "output"

    job_id: str
    at: datetime
    index: int = 0


@dataclass(frozen=True, slots=True)
class End(Event):
    """The last event of a job."""

    type: ClassVar[str] = "end"

    seq: int
    status: str

    @property
    def succeeded(self) -> bool:
        """Whether the job succeeded."""
        return self.status == COMPLETED


JobEvent = Snapshot | StillWaiting | Status | Progress | OutputMade | End

_EVENT_CLASSES: dict[Any, type[JobEvent]] = {
    kind.type: kind for kind in (Snapshot, StillWaiting, Status, Progress, OutputMade, End)
}


def parse_event(message: str | bytes) -> JobEvent | None:
    """Parse a websocket message; None for an unknown kind, such as previews.

    Raises:
        UnreadableResponse: the message is not JSON.
    """
    frame = _parse_frame(message)
    kind = _EVENT_CLASSES.get(frame.get("type"))
    return from_json(kind, frame) if kind is not None else None


def parse_refusal(message: str | bytes) -> dict[str, str] | None:
    """Return ``code`` and ``detail`` if the message refuses one job.

    Raises:
        UnreadableResponse: the message is not JSON.
    """
    frame = _parse_frame(message)
    if frame.get("type") != "error":
        return None
    return {"code": str(frame.get("code")), "detail": str(frame.get("message"))}


def _parse_frame(message: str | bytes) -> dict[str, Any]:
    if isinstance(message, bytes):
        return {}
    try:
        frame = json.loads(message)
    except (ValueError, RecursionError):
        raise UnreadableResponse("The service sent a message that is not JSON.") from None
    return frame if isinstance(frame, dict) else {}


@dataclass(slots=True)
class EventFilter:
    """Filters events so that each state and output is yielded once across reconnects.

    Attributes:
        after: ``seq`` of the last yielded state, where the next connection resumes; None to start anew.
        ended: whether the end was yielded.
    """

    after: int | None = None
    ended: bool = False
    _has_snapshot: bool = False
    _outputs: set[str] = field(default_factory=set)

    def admit(self, event: JobEvent) -> bool:
        """Decide whether to yield the event, and if so record it as yielded."""
        match event:
            case Snapshot():
                return self._accept_snapshot(event)
            case Status():
                if self.after is not None and event.seq <= self.after:
                    return False
                self.after = event.seq
            case OutputMade():
                if event.id in self._outputs:
                    return False
                self._outputs.add(event.id)
            case End():
                self.ended = True
        return True

    def _accept_snapshot(self, snapshot: Snapshot) -> bool:
        """Decide whether to yield the snapshot: only the first one. Record the state that it shows."""
        # The outputs follow a snapshot with a final state. To resume after this state would skip them.
        if self.after is None and snapshot.status not in FINAL_STATUSES:
            self.after = snapshot.seq
        first, self._has_snapshot = not self._has_snapshot, True
        return first
