from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from contracts.scheduler.attempts import AttemptRef
from executor.domain.progress import MAX_RUNNING_PERCENT, ProgressTracker

GRAPH: dict[str, Any] = {name: {"class_type": f"Class{name}", "inputs": {}} for name in ("1", "2", "3", "4")}
REF = AttemptRef(job_id=uuid4(), tenant_id=uuid4(), attempt=1, lease_token=uuid4())
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def tracker(*events: tuple[str, dict[str, Any]]) -> ProgressTracker:
    made = ProgressTracker(GRAPH)
    for kind, told in events:
        made.apply_event(kind, told)
    return made


def test_cached_nodes_count_as_finished() -> None:
    assert tracker(("execution_cached", {"nodes": ["1", "2", "nobody"]})).percent == 50


def test_running_node_counts_by_its_own_progress() -> None:
    made = tracker(("executing", {"node": "1"}), ("progress", {"node": "1", "value": 5, "max": 10}))
    assert made.percent == 12.5
    said = made.build_message(REF, at=NOW, elapsed_s=10)
    assert (said.node, said.node_class, said.value, said.max) == ("1", "Class1", 5, 10)
    assert (said.nodes_done, said.nodes_total, said.eta_seconds) == (0, 4, 70.0)


def test_second_progress_bar_of_a_node_does_not_decrease_progress() -> None:
    made = tracker(("progress", {"node": "1", "value": 10, "max": 10}))
    made.apply_event("progress", {"node": "1", "value": 0, "max": 30})
    assert made.percent == 25


def test_expanded_nodes_count_as_their_parent_node() -> None:
    made = tracker(("executing", {"node": "2.0.0.3", "display_node": "2"}))
    made.apply_event("progress", {"node": "2.0.0.3", "value": 1, "max": 2})
    made.apply_event("progress_state", {"nodes": {"2.0.0.3": {"state": "finished"}}})
    assert made.percent == 12.5


def test_progress_reaches_100_percent_only_on_success() -> None:
    made = tracker(*[("progress_state", {"nodes": {name: {"state": "finished"}}}) for name in GRAPH])
    assert made.percent == MAX_RUNNING_PERCENT
    said = made.build_message(REF, at=NOW, elapsed_s=1, succeeded=True)
    assert (said.progress, said.nodes_done, said.eta_seconds, said.node) == (100, 4, 0, None)


def test_no_remaining_time_is_estimated_at_the_very_beginning() -> None:
    made = tracker(("progress", {"node": "1", "value": 1e-320, "max": 1}))
    assert made.percent > 0
    assert made.build_message(REF, at=NOW, elapsed_s=5).eta_seconds is None


def test_irrelevant_events_report_no_progress() -> None:
    made = tracker()
    assert not made.apply_event("status", {})
    made.apply_event("progress", {"node": "1", "value": float("nan"), "max": "many"})
    made.apply_event("executing", {"node": ["1"]})
    made.apply_event("progress_state", {"nodes": [1]})
    assert made.percent == 0


events = st.tuples(
    st.sampled_from(["execution_cached", "executing", "progress", "progress_state", "executed"]),
    st.fixed_dictionaries({
        "node": st.sampled_from(["1", "2", "3", "4", "4.0.1", "x", None, 7]),
        "value": st.one_of(st.integers(-5, 50), st.floats()),
        "max": st.one_of(st.integers(-5, 50), st.floats()),
    }),
)  # fmt: skip


@given(st.lists(events, max_size=60))
def test_percentage_never_decreases_and_stays_below_100(told: list[tuple[str, dict[str, Any]]]) -> None:
    made, before = ProgressTracker(GRAPH), 0.0
    for kind, event in told:
        made.apply_event(kind, event)
        assert before <= made.percent <= MAX_RUNNING_PERCENT
        before = made.percent
        made.build_message(REF, at=NOW, elapsed_s=5).model_dump_json()


def test_oversized_node_id_matches_no_node() -> None:
    made = tracker(("executing", {"node": "1." * 1_000_000}), ("executing", {"display_node": ["1"], "node": {"a": 1}}))
    assert made.build_message(REF, at=NOW, elapsed_s=1).node is None


def test_invalid_progress_numbers_are_ignored() -> None:
    odd: tuple[Any, ...] = (10**400, float("nan"), float("inf"), "1", None, True, [])
    made = tracker(*[("progress", {"node": "1", "value": value, "max": value}) for value in odd])
    assert made.percent == 0
    made.build_message(REF, at=NOW, elapsed_s=1).model_dump_json()
