"""What a viewer has still to be sent."""

from collections import deque

MAX_STATES = 1_000  # a job has tens of events; a viewer that far behind does not read


class Backlog:
    """A queue that loses old progress, never a state.

    A progress frame takes the place of the one at the end of the queue, so that a slow viewer gets the latest,
    and none behind a state that came later.
    """

    def __init__(self) -> None:
        self._frames: deque[tuple[str, bool]] = deque()

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def hopeless(self) -> bool:
        """Whether it has grown beyond what any job has to say."""
        return len(self._frames) > MAX_STATES

    def add_states(self, frames: tuple[str, ...]) -> None:
        """Add frames that must arrive."""
        self._frames.extend((frame, False) for frame in frames)

    def add_progress(self, frame: str) -> None:
        """Add a frame that the next of its kind may replace."""
        if self._frames and self._frames[-1][1]:
            self._frames.pop()
        self._frames.append((frame, True))

    def take(self) -> str:
        """The next frame. IndexError if there is none."""
        return self._frames.popleft()[0]
