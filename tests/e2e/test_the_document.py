"""The OpenAPI document says what the gateway does, and the gateway does nothing else."""

import pytest

from tests.fuzz.openapi import fuzz


@pytest.mark.requirement("problem.documented")
@pytest.mark.timeout(900)  # some 100 routes, on a machine that others use
async def test_generated_requests_get_only_documented_responses() -> None:
    """A short run; ``./dev fuzz`` is the long one."""
    assert await fuzz(5, ["--phases", "examples,coverage,fuzzing"]) == 0
