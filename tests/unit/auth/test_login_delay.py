"""How guessing gets slow, and nobody is locked out for good."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from auth.domain.login_delay import FREE, HARD, HARD_DELAY, LONGEST, delay_after, is_delayed

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ANY_COUNT = st.integers(0, 2**31 - 1)


def test_s_33_the_delays_are_these() -> None:
    seconds = [delay_after(failures).total_seconds() for failures in (0, 5, 6, 7, 8, 15, 16, 99, 100, 10**6)]
    assert seconds == [0, 0, 1, 2, 4, 512, 900, 900, 3600, 3600]


@given(ANY_COUNT)
def test_s_33_more_failures_never_make_it_shorter_and_it_always_ends(failures: int) -> None:
    delay = delay_after(failures)
    assert timedelta(0) <= delay <= delay_after(failures + 1) <= HARD_DELAY
    assert (delay > timedelta(0)) == (failures > FREE)
    assert (delay > LONGEST) == (failures >= HARD)


@given(ANY_COUNT, st.timedeltas(timedelta(0), timedelta(days=1)))
def test_s_33_a_login_is_delayed_for_just_that_long(failures: int, since: timedelta) -> None:
    assert is_delayed(failures, NOW - since, NOW) == (since < delay_after(failures))
    assert not is_delayed(failures, None, NOW)


def test_s_33_a_failure_that_is_free_delays_nobody_who_began_before_it() -> None:
    assert not is_delayed(FREE, NOW, NOW - timedelta(milliseconds=1))
