"""An executor requests work less often once it has been idle for a long time."""

from executor.domain.request_timing import LONG_IDLE_REPLIES, choose_wait_s


def test_requests_of_a_node_wait_twice_as_long_after_a_minute_without_work() -> None:
    assert LONG_IDLE_REPLIES * 5.0 == 60.0
    assert choose_wait_s(5.0, empty_replies=0) == 5.0
    assert choose_wait_s(5.0, empty_replies=LONG_IDLE_REPLIES - 1) == 5.0
    assert choose_wait_s(5.0, empty_replies=LONG_IDLE_REPLIES) == 10.0
    assert choose_wait_s(0.0, empty_replies=LONG_IDLE_REPLIES) == 0.0
