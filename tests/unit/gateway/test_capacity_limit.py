from contextlib import suppress

import pytest

from contracts.wire.errors import Unavailable
from gateway.edge.capacity_limit import CapacityLimit
from gateway.edge.errors import BodyTooSlow, TooManyBodies


class Clock:
    """A clock that the test advances."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.requirement("B-12")
def test_client_share_and_total_capacity_are_enforced() -> None:
    limit = CapacityLimit(total=10, per_client=6, clock=Clock())
    with limit.reserve("a") as first, limit.reserve("a") as second, limit.reserve("b") as other:
        first(4)
        with pytest.raises(TooManyBodies):
            second(3)
        second(2)
        other(4)
        with pytest.raises(Unavailable):
            other(1)


@pytest.mark.requirement("B-12")
def test_capacity_is_released_after_success_and_after_failure() -> None:
    limit = CapacityLimit(total=10, per_client=10, clock=Clock())
    with suppress(LookupError), limit.reserve("a") as take:
        take(10)
        raise LookupError
    with limit.reserve("b") as take:
        take(10)


def test_body_chunk_after_the_deadline_is_refused() -> None:
    clock = Clock()
    limit = CapacityLimit(total=10, per_client=10, clock=clock)
    with limit.reserve("a", within_s=30) as take:
        clock.now += 30
        take(4)
        clock.now += 0.1
        with pytest.raises(BodyTooSlow):
            take(1)
    with limit.reserve("a") as take:
        clock.now += 10_000
        take(10)
