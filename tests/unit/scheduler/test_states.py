"""The state machine of a job."""

from itertools import product
from uuid import uuid4

import pytest

from contracts.scheduler.attempts import AttemptRef, FinishAttempt, Outcome
from contracts.scheduler.jobs import FINAL_STATES, STATUS_OF_STATE, JobState
from scheduler.domain.settlement import decide_transition_cause, is_node_death
from scheduler.domain.states import TRANSITIONS, Cause, find_next_state, is_final


def test_final_states_never_change() -> None:
    for state, cause in product(FINAL_STATES, Cause):
        assert find_next_state(state, cause) is None


def test_every_state_is_reachable_and_every_open_state_has_an_exit() -> None:
    assert set(TRANSITIONS.values()) == set(JobState)
    for state in set(JobState) - FINAL_STATES:
        assert any(before is state for before, _ in TRANSITIONS)


def test_a_final_state_is_reachable_from_every_state() -> None:
    reaches_end = set(FINAL_STATES)
    for _ in JobState:
        reaches_end |= {before for (before, _), to in TRANSITIONS.items() if before and to in reaches_end}
    assert reaches_end == set(JobState)


def test_only_a_queued_job_can_be_claimed() -> None:
    claimable = [state for state in JobState if find_next_state(state, Cause.CLAIMED)]
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
def test_only_node_faults_are_retried_up_to_the_maximum_of_attempts(outcome: Outcome, tries: int, cause: Cause) -> None:
    assert decide_transition_cause(outcome, tries=tries, max_attempts=3) is cause


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
def test_job_is_not_retried_after_two_node_deaths(outcome: Outcome, tries: int, node_deaths: int, cause: Cause) -> None:
    assert decide_transition_cause(outcome, tries=tries, max_attempts=3, node_deaths=node_deaths) is cause


def test_only_a_node_fault_can_be_a_node_death() -> None:
    ref = AttemptRef(job_id=uuid4(), tenant_id=uuid4(), attempt=1, lease_token=uuid4())
    deaths = {one for one in Outcome if is_node_death(FinishAttempt(ref=ref, outcome=one, node_died=True))}
    assert deaths == {Outcome.NODE_FAULT}
    assert not is_node_death(FinishAttempt(ref=ref, outcome=Outcome.NODE_FAULT))
