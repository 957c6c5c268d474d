from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.simnode.driver import Driver, running_driver


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[Driver]:
    async with running_driver(tmp_path / "new") as new:
        yield new


@pytest.fixture
async def old(tmp_path: Path) -> AsyncIterator[Driver]:
    async with running_driver(tmp_path / "old", version="0.3.64") as old_one:
        yield old_one
