"""Restores the order of a job's events."""

from contracts.scheduler.jobs import JobEvent


class Timeline:
    """Emits each event once and in order; holds back events after a gap.

    Before ``start`` all events are held back.
    """

    def __init__(self) -> None:
        self.last_seq: int | None = None
        self._early_events: dict[int, JobEvent] = {}

    @property
    def has_gap(self) -> bool:
        """Whether events are held back because an earlier one is missing."""
        return bool(self._early_events)

    def start(self, seq: int) -> None:
        """Treat all events up to ``seq`` as emitted. Only the first call has an effect."""
        if self.last_seq is None:
            self.last_seq = seq

    def add(self, *events: JobEvent) -> list[JobEvent]:
        """Add events. Return those that are ready to be emitted, in order."""
        for event in events:
            if self.last_seq is None or event.seq > self.last_seq:
                self._early_events[event.seq] = event
        return self._take_ready_events()

    def _take_ready_events(self) -> list[JobEvent]:
        if self.last_seq is None:
            return []
        for seq in [seq for seq in self._early_events if seq <= self.last_seq]:
            del self._early_events[seq]
        ready = []
        while event := self._early_events.pop(self.last_seq + 1, None):
            ready.append(event)
            self.last_seq = event.seq
        return ready


class ProgressFilter:
    """Filters progress: it may only advance, by attempt and within an attempt by percent."""

    def __init__(self, attempt: int = 0, progress: float = 0) -> None:
        self._latest = (attempt, progress)

    def try_advance(self, attempt: int, progress: float) -> bool:
        """Record the progress if it is not behind the latest; returns whether it was recorded."""
        if (attempt, progress) < self._latest:
            return False
        self._latest = (attempt, progress)
        return True
