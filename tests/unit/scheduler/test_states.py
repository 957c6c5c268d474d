"""Job state transitions: every pair of state and cause is either listed or changes nothing."""

from itertools import product
from uuid import uuid4

import pytest

from contracts.scheduler.attempts import AttemptRef, FinishAttempt, Outcome
from contracts.scheduler.jobs import FINAL_STATES, STATUS_OF_STATE, JobState
from scheduler.domain.settlement import cause_of, is_node_death
from scheduler.domain.states import TRANSITIONS, Cause, after, is_final


def test_final_states_never_change() -> None:
    for state, cause in product(FINAL_STATES, Cause):
        assert after(state, cause) is None


def test_every_state_can_be_reached_and_every_open_one_left() -> None:
    assert set(TRANSITIONS.values()) == set(JobState)
    for state in set(JobState) - FINAL_STATES:
        assert any(before is state for before, _ in TRANSITIONS)


def test_every_job_can_reach_an_end_from_anywhere() -> None:
    reaches_end = set(FINAL_STATES)
    for _ in JobState:
        reaches_end |= {before for (before, _), to in TRANSITIONS.items() if before and to in reaches_end}
    assert reaches_end == set(JobState)


def test_only_a_queued_job_is_claimed() -> None:
    claimable = [state for state in JobState if after(state, Cause.CLAIMED)]
    assert claimable == [JobState.QUEUED]


def test_every_state_has_a_public_name() -> None:
    assert set(STATUS_OF_STATE) == set(JobState)
    assert all(
        is_final(state) == (STATUS_OF_STATE[state].value in {"completed", "failed", "cancelled"}) for state in JobState
    )


@pytest.mark.parametrize(
    ("outcome", "tries", "cause"),
    [
        (Outcome.SUCCEEDED, 1, Cause.SUCCEEDED),
        (Outcome.FAILED, 1, Cause.FAILED),
        (Outcome.NODE_FAULT, 1, Cause.NODE_FAULT),
        (Outcome.NODE_FAULT, 2, Cause.NODE_FAULT),
        (Outcome.NODE_FAULT, 3, Cause.ATTEMPTS_EXHAUSTED),
        (Outcome.CANCELLED, 1, Cause.NODE_FAULT),
    ],
)
def test_only_a_nodes_fault_is_tried_again_and_three_times_at_most(outcome: Outcome, tries: int, cause: Cause) -> None:
    assert cause_of(outcome, tries=tries, max_attempts=3) is cause


@pytest.mark.parametrize(
    ("outcome", "tries", "node_deaths", "cause"),
    [
        (Outcome.NODE_FAULT, 1, 1, Cause.NODE_FAULT),
        (Outcome.NODE_FAULT, 2, 1, Cause.NODE_FAULT),
        (Outcome.NODE_FAULT, 2, 2, Cause.POISONED),
        (Outcome.NODE_FAULT, 3, 2, Cause.POISONED),
        (Outcome.NODE_FAULT, 3, 1, Cause.ATTEMPTS_EXHAUSTED),
        (Outcome.SUCCEEDED, 3, 2, Cause.SUCCEEDED),
        (Outcome.FAILED, 3, 2, Cause.FAILED),
    ],
)
def test_a_job_whose_node_died_twice_is_not_tried_again(
    outcome: Outcome, tries: int, node_deaths: int, cause: Cause
) -> None:
    assert cause_of(outcome, tries=tries, max_attempts=3, node_deaths=node_deaths) is cause


def test_only_a_node_fault_can_be_a_node_death() -> None:
    ref = AttemptRef(job_id=uuid4(), tenant_id=uuid4(), attempt=1, lease_token=uuid4())
    deaths = {one for one in Outcome if is_node_death(FinishAttempt(ref=ref, outcome=one, node_died=True))}
    assert deaths == {Outcome.NODE_FAULT}
    assert not is_node_death(FinishAttempt(ref=ref, outcome=Outcome.NODE_FAULT))
