"""Idle time by reason, and model loads."""

from collections import Counter

from executor.domain.idle_time import IdleReason, IdleTime
from executor.domain.model_loads import ModelLoads

GRAPH = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd.safetensors"}},
    "2": {"class_type": "EmptyLatentImage", "inputs": {"width": 64}},
    "3": {"class_type": "LoraLoader", "inputs": {"model": ["1", 0], "lora_name": "style.safetensors"}},
}


class Node:
    """The idle time and model loads of a node; the test sets its clock."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.idle_s: Counter[IdleReason] = Counter()
        self.idle_time = IdleTime(self._add, lambda: self.now_s)

    def advance_clock(self, seconds: float) -> None:
        self.now_s += seconds

    def _add(self, reason: IdleReason, seconds: float) -> None:
        self.idle_s[reason] += seconds  # type: ignore[assignment] # a Counter of seconds


def test_idle_time_is_counted_for_the_reason_at_that_time() -> None:
    node = Node()
    node.advance_clock(1)
    node.idle_time.switch_to(IdleReason.NODE_OFFLINE)
    node.advance_clock(2)
    node.idle_time.record_work_request()
    node.advance_clock(4)
    node.idle_time.switch_to(IdleReason.PREPARING)
    node.advance_clock(8)
    node.idle_time.stop()
    node.advance_clock(100)
    node.idle_time.switch_to(IdleReason.FINISHING)
    node.advance_clock(16)
    node.idle_time.flush()
    node.idle_time.flush()
    assert node.idle_s == {
        IdleReason.STARTING: 1,
        IdleReason.NODE_OFFLINE: 2,
        IdleReason.NO_WORK: 4,
        IdleReason.PREPARING: 8,
        IdleReason.FINISHING: 16,
    }


def test_idle_time_counts_as_scheduler_unavailable_until_the_scheduler_responds() -> None:
    node = Node()
    node.idle_time.switch_to(IdleReason.SCHEDULER_UNAVAILABLE)
    node.advance_clock(1)
    node.idle_time.record_work_request()
    node.advance_clock(2)
    node.idle_time.switch_to(IdleReason.NO_WORK)
    node.advance_clock(4)
    node.idle_time.flush()
    assert node.idle_s == {
        IdleReason.STARTING: 0,
        IdleReason.SCHEDULER_UNAVAILABLE: 3,
        IdleReason.NO_WORK: 4,
    }


def test_each_executed_loader_is_one_model_load() -> None:
    loads = ModelLoads(GRAPH)
    events: list[tuple[str, dict[str, object]]] = [
        ("execution_cached", {"nodes": ["3"]}),
        ("executing", {"node": "2"}),
        ("executing", {"node": "1"}),
        ("executing", {"node": "1"}),
        ("executing", {"node": None}),
        ("executing", {"node": "9"}),
        ("progress", {"node": "3"}),
    ]
    assert [loads.apply_event(*event) for event in events] == [False, False, True, False, False, False, False]
