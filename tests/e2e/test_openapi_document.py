"""The gateway behaves as the OpenAPI document says."""

import pytest

from tests.fuzz.openapi import fuzz


@pytest.mark.requirement("problem.documented")
@pytest.mark.timeout(900)  # about 100 routes, on a machine with other load
async def test_generated_requests_get_only_documented_responses() -> None:
    """A short run; ``./dev fuzz`` also tries the bounds of each parameter, and runs longer."""
    assert await fuzz(1, ["--phases", "examples,fuzzing"]) == 0
