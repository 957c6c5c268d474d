"""Failed logins are delayed more and more, without a permanent lockout."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.domain.login_delay import FREE_FAILURES, HARD_LIMIT, HARD_LIMIT_DELAY, MAX_DELAY, compute_delay, is_delayed

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ANY_COUNT = st.integers(0, 2**31 - 1)


@pytest.mark.requirement("S-33")
def test_login_delays_double_up_to_their_cap() -> None:
    seconds = [compute_delay(failures).total_seconds() for failures in (0, 5, 6, 7, 8, 15, 16, 99, 100, 10**6)]
    assert seconds == [0, 0, 1, 2, 4, 512, 900, 900, 3600, 3600]


@pytest.mark.requirement("S-33")
@given(ANY_COUNT)
def test_login_delay_never_shrinks_and_is_bounded(failures: int) -> None:
    delay = compute_delay(failures)
    assert timedelta(0) <= delay <= compute_delay(failures + 1) <= HARD_LIMIT_DELAY
    assert (delay > timedelta(0)) == (failures > FREE_FAILURES)
    assert (delay > MAX_DELAY) == (failures >= HARD_LIMIT)


@pytest.mark.requirement("S-33")
@given(ANY_COUNT, st.timedeltas(timedelta(0), timedelta(days=1)))
def test_login_is_accepted_when_its_delay_has_passed(failures: int, since: timedelta) -> None:
    assert is_delayed(failures, NOW - since, NOW) == (since < compute_delay(failures))
    assert not is_delayed(failures, None, NOW)


@pytest.mark.requirement("S-33")
def test_failed_login_below_the_delay_threshold_does_not_delay_a_concurrent_login() -> None:
    assert not is_delayed(FREE_FAILURES, NOW, NOW - timedelta(milliseconds=1))
