"""An attempt is charged GPU-seconds for at most the time since it was leased, whatever its node reports."""

from time import monotonic

import pytest

from contracts.scheduler.attempts import FINISH_ATTEMPT, START_ATTEMPT, FinishAttempt, Outcome
from contracts.scheduler.jobs import JobState
from tests.integration.scheduler.conftest import BROKEN, World
from tests.integration.scheduler.operator import Operator

ABSURD_S = 1e9


@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.FAILED])
async def test_reported_gpu_seconds_are_limited_to_the_age_of_the_attempt(world: World, outcome: Outcome) -> None:
    tenant, node, operator = world.add_tenant(), await world.add_node(), Operator(world.system.bus)
    began = monotonic()
    job_id = await world.submit_job(tenant)
    given = await node.claim_attempt()
    error = None if outcome is Outcome.SUCCEEDED else BROKEN
    report = FinishAttempt(ref=given.ref, outcome=outcome, error=error, gpu_seconds=ABSURD_S)
    assert (await world.system.bus.request(FINISH_ATTEMPT, report, key=node.name)).applied
    limit_s = monotonic() - began + START_ATTEMPT.timeout_s
    assert (await world.read_job(tenant, job_id)).state is JobState(outcome.value)
    (attempt,) = (await operator.inspect(job_id)).attempts
    assert attempt.gpu_seconds is not None
    assert 0 < attempt.gpu_seconds <= limit_s
    (day,) = await operator.usage(tenant)
    assert 0 < day.gpu_seconds <= limit_s
    vtime = await world.system.sql.fetchval("SELECT vtime FROM tenants WHERE id = $1", tenant)
    assert vtime < ABSURD_S / 2
