"""Restores the order of a job's events."""

from contracts.scheduler.jobs import JobEvent


class Timeline:
    """Emits each event once and in order; holds back events after a gap.

    Before ``begin`` the start is unknown and everything is held back.
    """

    def __init__(self) -> None:
        self.known: int | None = None
        self._held: dict[int, JobEvent] = {}

    @property
    def gap(self) -> bool:
        """Whether events are held back because an earlier one is missing."""
        return bool(self._held)

    def begin(self, seq: int) -> None:
        """Treat all events up to ``seq`` as known. Only the first call counts."""
        if self.known is None:
            self.known = seq

    def offer(self, *events: JobEvent) -> list[JobEvent]:
        """Add events; returns those that are next, in order."""
        for event in events:
            if self.known is None or event.seq > self.known:
                self._held[event.seq] = event
        return self._ready()

    def _ready(self) -> list[JobEvent]:
        if self.known is None:
            return []
        for seq in [seq for seq in self._held if seq <= self.known]:
            del self._held[seq]
        ready = []
        while event := self._held.pop(self.known + 1, None):
            ready.append(event)
            self.known = event.seq
        return ready


class Advance:
    """Filters progress: it may only advance, by attempt and within an attempt by percent."""

    def __init__(self, attempt: int = 0, progress: float = 0) -> None:
        self._at = (attempt, progress)

    def passes(self, attempt: int, progress: float) -> bool:
        """Whether the progress is not behind any earlier one."""
        if (attempt, progress) < self._at:
            return False
        self._at = (attempt, progress)
        return True
