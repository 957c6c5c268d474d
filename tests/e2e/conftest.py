"""One system for all end-to-end tests; on real nodes if COMFYUI_URL is set."""

import os
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.kit.commands import Commands
from tests.kit.fleet import running_fleet
from tests.kit.retrying_fleet import RetryingFleet, few_requests_repeated
from tests.kit.waiting import wait_if_midnight_is_near

BLOCKED_AFTER_S = 1
REAL = os.environ.get("COMFYUI_URL")

simulated_only = pytest.mark.skipif(bool(REAL), reason="needs the simulated nodes' ledger and faults")


@pytest.fixture(autouse=True)
async def no_day_begins() -> None:
    """Keep the start of a UTC day out of each test: quotas and usage count by day."""
    await wait_if_midnight_is_near()


@pytest.fixture(scope="package")
async def fleet() -> AsyncIterator[RetryingFleet]:
    async with running_fleet(
        "--nodes",
        "2",
        "--step-ms",
        "10",
        GATEWAY_LOGIN_PER_MINUTE="6000",
        GATEWAY_OPEN_PER_MINUTE="6000",
        SCHEDULER_RETENTION_EVERY_S="1",
        GATEWAY_UPLOADS_SWEEP_S="1",
        EXECUTOR_BLOCKED_AFTER_S=str(BLOCKED_AFTER_S),
    ) as running:
        with few_requests_repeated():
            yield RetryingFleet.wrap(running)


@pytest.fixture(scope="package")
async def commands(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Commands]:
    running = Commands(tmp_path_factory.mktemp("commands"))
    yield running
    await running.close()


@pytest.fixture
async def client(fleet: RetryingFleet) -> AsyncIterator[httpx.AsyncClient]:
    async with fleet.client() as opened:
        yield opened
