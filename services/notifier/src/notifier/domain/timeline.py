"""The order of a job's events, whatever order they come in."""

from contracts.scheduler.jobs import JobEvent


class Timeline:
    """Gives out each event once and in order; holds back what comes after a gap.

    Before ``begin`` nobody knows where it starts, and everything is held back.
    """

    def __init__(self) -> None:
        self.known: int | None = None
        self._held: dict[int, JobEvent] = {}

    @property
    def gap(self) -> bool:
        """Whether something is held back because something before it is missing."""
        return bool(self._held)

    def begin(self, seq: int) -> None:
        """All up to ``seq`` is known. Only the first call counts."""
        if self.known is None:
            self.known = seq

    def offer(self, *events: JobEvent) -> list[JobEvent]:
        """Take these in; the events that are now next, in order."""
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
    """Lets progress through that goes forward: by attempt, and within an attempt by percent."""

    def __init__(self, attempt: int = 0, progress: float = 0) -> None:
        self._at = (attempt, progress)

    def passes(self, attempt: int, progress: float) -> bool:
        """Whether this is no step back from all that passed before."""
        if (attempt, progress) < self._at:
            return False
        self._at = (attempt, progress)
        return True
