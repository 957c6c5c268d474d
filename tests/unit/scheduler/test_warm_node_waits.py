"""A node defers jobs to a busy node that has loaded their models, for as long as that is worth a load."""

from collections.abc import Mapping

import pytest

from scheduler.domain.durations import find_bin
from scheduler.domain.placement import MAX_WAIT_IN_LOADS
from scheduler.domain.run_times import HistogramKey, HistogramScope
from scheduler.usecases.fleet_state import FleetState
from scheduler.usecases.loaded_models import MAX_LATE_S, LoadedModels
from scheduler.usecases.run_time_history import RunTimeHistory
from scheduler.usecases.warm_node_waits import MIN_WAIT_S, WarmNodeWaits

MODEL = "L.ckpt=base.safetensors"
JOB, WITHOUT_MODEL, NEVER_LOADED = 1, 2, 3  # ids of requirements
RUN_S, LOAD_S = 100.0, 60.0
PRECISION = 0.35  # relative error of a load time: it is the difference of two run times, each precise to 10 %
COLD, WARM = "cold node", "warm node"


class Fleet(FleetState):
    """A fleet state with given requirements."""

    def __init__(self) -> None:
        """Read nothing from a database."""

    def get_models(self, requirement: int) -> frozenset[str]:
        return frozenset() if requirement == WITHOUT_MODEL else frozenset({MODEL})

    @property
    def nodes_by_gpu(self) -> Mapping[str, int]:
        return {"": 2}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Waits:
    """A node without models, and one that has loaded a model and runs a job."""

    def __init__(self, *, bound_s: float = 1000.0) -> None:
        self.clock, history = Clock(), RunTimeHistory()
        self.loaded = LoadedModels(forget_after_s=10_000, clock=self.clock)
        for loads_models, seconds in ((False, RUN_S), (True, RUN_S + LOAD_S)):
            for requirement in (JOB, WITHOUT_MODEL):
                key = HistogramKey(HistogramScope.MODELS, requirement, "", loads_models)
                history.replace_histograms({key: {find_bin(seconds): 1.0}})
        self.waits = WarmNodeWaits(Fleet(), self.loaded, history, bound_s=bound_s, clock=self.clock)

    def run_on_warm_node(self, seconds: float) -> None:
        self.loaded.record_claim(WARM, {MODEL}, run_s=seconds)

    def is_deferred(self, requirement: int = JOB, *, node: str = COLD) -> bool:
        return requirement in self.waits.list_deferred_requirements([requirement], node)


def test_jobs_are_deferred_until_waiting_is_no_longer_worth_a_load() -> None:
    world = Waits()
    load_s = world.waits.predict_load_time(JOB)
    assert load_s == pytest.approx(LOAD_S, rel=PRECISION)
    world.run_on_warm_node(10)
    assert world.waits.list_deferred_requirements([JOB], COLD) == {JOB: pytest.approx(10 + MIN_WAIT_S)}
    world.clock.now += MAX_WAIT_IN_LOADS * load_s - 5
    world.run_on_warm_node(4)
    assert world.waits.list_deferred_requirements([JOB], COLD) == {JOB: pytest.approx(4 + MIN_WAIT_S)}
    world.run_on_warm_node(6)  # ends later than is worth waiting for
    assert not world.is_deferred()


def test_next_look_is_no_later_than_the_end_of_the_time_that_is_worth_waiting() -> None:
    world = Waits()
    limit_s = MAX_WAIT_IN_LOADS * world.waits.predict_load_time(JOB)
    world.run_on_warm_node(1)
    assert world.is_deferred()
    world.clock.now += limit_s - 1.02
    world.run_on_warm_node(1)
    assert world.waits.list_deferred_requirements([JOB], COLD) == {JOB: pytest.approx(1.02)}


def test_wait_limit_restarts_when_a_claim_loads_the_models_or_no_such_job_is_queued() -> None:
    world = Waits()
    limit_s = MAX_WAIT_IN_LOADS * world.waits.predict_load_time(JOB)
    for forget in (
        lambda: world.waits.record_claim(JOB, loads_models=True),
        lambda: world.waits.forget_unqueued_requirements({WITHOUT_MODEL}),
    ):
        world.run_on_warm_node(1)
        assert world.is_deferred()
        world.clock.now += limit_s
        world.run_on_warm_node(1)
        assert not world.is_deferred()
        world.waits.record_claim(JOB, loads_models=False)
        world.waits.forget_unqueued_requirements({JOB})
        assert not world.is_deferred()
        forget()
        assert world.is_deferred()
        forget()


def test_no_job_is_deferred_to_a_node_that_is_long_overdue() -> None:
    world = Waits()
    world.run_on_warm_node(1)
    world.clock.now += 1 + MAX_LATE_S - 0.1
    assert world.is_deferred()
    world.clock.now += 0.1
    assert not world.is_deferred()


@pytest.mark.requirement("setting WARM_BOUND_S")
@pytest.mark.parametrize(("bound_s", "free_in_s", "is_deferred"), [(20, 19, True), (20, 21, False), (0, 0, False)])
def test_no_job_waits_for_a_warm_node_longer_than_the_limit(
    bound_s: float, free_in_s: float, is_deferred: bool
) -> None:
    world = Waits(bound_s=bound_s)
    world.run_on_warm_node(free_in_s)
    assert world.is_deferred() == is_deferred


def test_node_defers_only_jobs_whose_models_it_lacks_and_with_known_load_times() -> None:
    world = Waits()
    assert not world.is_deferred()  # no node has the model
    world.run_on_warm_node(1)
    assert world.is_deferred()
    assert not world.is_deferred(node=WARM)
    assert not world.is_deferred(WITHOUT_MODEL)
    assert not world.is_deferred(NEVER_LOADED)  # how long a load takes is not known
