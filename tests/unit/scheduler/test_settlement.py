"""The fair share is charged at the claim, and corrected at the end."""

import pytest

from scheduler.domain.settlement import TransitionEffects, compute_claim_effects, estimate_cost


@pytest.mark.parametrize(("mean_s", "cost_s"), [(None, 1.0), (0.2, 1.0), (40.0, 40.0)])
def test_claim_charges_the_mean_cost_of_the_newest_jobs_but_at_least_one_second(
    mean_s: float | None, cost_s: float
) -> None:
    assert estimate_cost(mean_s) == cost_s
    assert compute_claim_effects(cost_s) == TransitionEffects(queued=-1, running=1, cost=cost_s)
