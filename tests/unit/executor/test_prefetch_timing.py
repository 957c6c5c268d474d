import math

from executor.domain.prefetch_timing import PrefetchTiming


def test_next_job_is_requested_at_once_after_short_prompts_and_late_after_long_ones() -> None:
    timing = PrefetchTiming(hold_s=3)
    assert math.isinf(timing.compute_delay_s(0))
    timing.record_prompt_start(10)
    assert timing.compute_delay_s(10) == 0
    timing.record_prompt_end(30)  # the prompt took 20 s
    assert timing.compute_delay_s(30) == 0
    timing.record_prompt_start(30)
    assert timing.compute_delay_s(31) == 17.5
    timing.record_prompt_end(31)
    timing.record_prompt_start(31)
    assert timing.compute_delay_s(31) == 0


def test_request_waits_for_a_report_that_can_carry_it_for_half_of_a_prompt() -> None:
    timing = PrefetchTiming(hold_s=3)
    timing.record_prompt_start(10)
    assert timing.compute_delay_s(10, is_report_near=True) == 0  # it is unknown how long the prompt takes
    timing.record_prompt_end(11)
    timing.record_prompt_start(11)
    assert timing.compute_delay_s(11, is_report_near=True) == 0.5
    assert timing.compute_delay_s(11, is_report_near=False) == 0


def test_requests_without_a_job_become_rarer_and_end_after_a_job_was_handed_back() -> None:
    timing = PrefetchTiming(hold_s=3)
    timing.record_prompt_start(0)
    waits = []
    for _ in range(5):
        timing.record_empty_reply(0)
        waits.append(timing.compute_delay_s(0))
    assert waits == [1, 2, 4, 5, 5]
    timing.record_hand_back()
    assert math.isinf(timing.compute_delay_s(100))
    timing.record_prompt_start(1)
    assert timing.compute_delay_s(1) == 0
