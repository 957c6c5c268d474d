"""Ids sort by creation time and contain it."""

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import RFC_4122

import pytest

from chassis import ids


def test_ids_of_one_thread_are_in_order() -> None:
    made = [ids.new_id() for _ in range(20_000)]
    assert made == sorted(set(made))


def test_ids_of_several_threads_are_distinct_and_in_order_per_thread() -> None:
    with ThreadPoolExecutor(4) as threads:
        batches = list(threads.map(lambda _: [ids.new_id() for _ in range(2_000)], range(4)))
    assert all(batch == sorted(batch) for batch in batches)
    assert len({one.int >> 64 for batch in batches for one in batch}) == 8_000


def test_id_is_a_uuid_of_version_7_with_the_current_time() -> None:
    before = time.time_ns() // 1_000_000
    made = ids.new_id()
    assert (made.version, made.variant) == (7, RFC_4122)
    assert before <= made.int >> 80 <= time.time_ns() // 1_000_000 + 1


@pytest.mark.parametrize(("set_back_s", "in_order"), [(0.5, True), (3600, False)])
def test_clock_that_is_set_back_by_more_than_a_second_starts_a_new_order(set_back_s: float, in_order: bool) -> None:
    ticks = ids.Ticks()
    latest = ticks.advance(time.time_ns())
    assert (ticks.advance(time.time_ns() - int(set_back_s * 1e9)) > latest) is in_order
