"""When a node counts as blocked, and why."""

from contracts.scheduler.heartbeats import OccupancyCause
from executor.domain.occupancy import Occupancy, Occupant

FOREIGN = Occupant(OccupancyCause.FOREIGN_PROMPT, "a", is_running=True)
WAITING = Occupant(OccupancyCause.OWN_PROMPT, "b", is_running=False)


def seen(occupant: Occupant, *, for_s: float) -> Occupancy:
    occupancy = Occupancy(blocked_after_s=600, dead_worker_s=10)
    occupancy.record_occupant(occupant, 1_000)
    occupancy.record_occupant(occupant, 1_000 + for_s)
    return occupancy


def test_unoccupied_node_is_free() -> None:
    occupancy = Occupancy(blocked_after_s=600, dead_worker_s=10)
    assert occupancy.build_report(0) is None
    assert not occupancy.is_suspicious(0)


def test_foreign_prompt_that_runs_beyond_the_bound_blocks_the_node() -> None:
    occupancy = seen(FOREIGN, for_s=600)
    before, after = occupancy.build_report(1_600), occupancy.build_report(1_601)
    assert before is not None
    assert after is not None
    assert (before.by, before.prompt_id, before.seconds, before.blocked) == (
        OccupancyCause.FOREIGN_PROMPT,
        "a",
        600,
        False,
    )
    assert (after.seconds, after.blocked) == (601, True)


def test_new_prompt_restarts_the_occupancy_timer() -> None:
    occupancy = seen(FOREIGN, for_s=601)
    occupancy.record_occupant(FOREIGN._replace(prompt_id="c"), 1_700)
    state = occupancy.build_report(1_701)
    assert state is not None
    assert (state.prompt_id, state.seconds, state.blocked) == ("c", 1, False)


def test_pending_prompt_without_a_running_one_means_a_dead_worker() -> None:
    occupancy = seen(WAITING, for_s=10)
    before, after = occupancy.build_report(1_010), occupancy.build_report(1_011)
    assert before is not None
    assert after is not None
    assert (before.by, before.blocked) == (OccupancyCause.OWN_PROMPT, False)
    assert (after.by, after.blocked) == (OccupancyCause.DEAD_WORKER, True)


def test_logged_worker_death_counts_for_its_own_prompt_only() -> None:
    occupancy = seen(FOREIGN, for_s=11)
    assert occupancy.is_suspicious(1_011)
    occupancy.record_worker_death()
    state = occupancy.build_report(1_011)
    assert state is not None
    assert (state.by, state.blocked) == (OccupancyCause.DEAD_WORKER, True)
    occupancy.record_occupant(FOREIGN._replace(prompt_id="c"), 1_012)
    state = occupancy.build_report(1_012)
    assert state is not None
    assert (state.by, state.blocked) == (OccupancyCause.FOREIGN_PROMPT, False)


def test_node_is_free_once_the_prompt_is_gone() -> None:
    occupancy = seen(FOREIGN, for_s=601)
    occupancy.record_free()
    assert occupancy.build_report(1_602) is None
