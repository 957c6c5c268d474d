"""The frames still to be sent to a client."""

from collections import deque

MAX_STATES = 1_000  # a job has tens of events; a client with this many queued frames does not read


class Backlog:
    """A queue that drops old progress but never a state.

    A progress frame replaces another one at the end of the queue, so that a slow client receives the latest.
    """

    def __init__(self) -> None:
        self._frames: deque[tuple[str, bool]] = deque()

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def is_overflowing(self) -> bool:
        """Whether the backlog exceeds what any job produces."""
        return len(self._frames) > MAX_STATES

    def add_states(self, frames: tuple[str, ...]) -> None:
        """Add frames that must be sent."""
        self._frames.extend((frame, False) for frame in frames)

    def add_progress(self, frame: str) -> None:
        """Add a frame that a newer one may replace."""
        if self._frames and self._frames[-1][1]:
            self._frames.pop()
        self._frames.append((frame, True))

    def pop(self) -> str:
        """Remove and return the next frame.

        Raises:
            IndexError: the backlog is empty.
        """
        return self._frames.popleft()[0]
