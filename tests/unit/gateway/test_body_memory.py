from contextlib import suppress

import pytest

from contracts.wire.errors import Unavailable
from gateway.edge.body_memory import BodyMemoryLimit
from gateway.edge.errors import BodyTooSlow, TooManyBodies


class Clock:
    """Goes on when it is told."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.requirement("B-12")
def test_client_share_and_total_of_body_memory_are_enforced() -> None:
    room = BodyMemoryLimit(total=10, each=6, clock=Clock())
    with room.reserve("a") as first, room.reserve("a") as second, room.reserve("b") as other:
        first(4)
        with pytest.raises(TooManyBodies):
            second(3)
        second(2)
        other(4)
        with pytest.raises(Unavailable):
            other(1)


@pytest.mark.requirement("B-12")
def test_body_memory_is_released_after_success_and_after_failure() -> None:
    room = BodyMemoryLimit(total=10, each=10, clock=Clock())
    with suppress(LookupError), room.reserve("a") as take:
        take(10)
        raise LookupError
    with room.reserve("b") as take:
        take(10)


def test_body_chunk_after_the_deadline_is_refused() -> None:
    clock = Clock()
    room = BodyMemoryLimit(total=10, each=10, clock=clock)
    with room.reserve("a", within_s=30) as take:
        clock.now += 30
        take(4)
        clock.now += 0.1
        with pytest.raises(BodyTooSlow):
            take(1)
    with room.reserve("a") as take:
        clock.now += 10_000
        take(10)
