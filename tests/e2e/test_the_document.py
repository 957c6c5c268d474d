"""The OpenAPI document says what the gateway does, and the gateway does nothing else."""

import pytest

from tests.fuzz.openapi import fuzz


@pytest.mark.requirement("problem.documented")
@pytest.mark.timeout(900)  # some 100 routes, on a machine that others use
async def test_no_made_up_request_meets_an_answer_that_is_not_documented() -> None:
    """A short run; ``./dev fuzz`` is the long one."""
    assert await fuzz(5, ["--phases", "examples,coverage,fuzzing"]) == 0
