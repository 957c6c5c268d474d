"""When an executor reloads the catalog of its node."""

from typing import Any

import pytest

from tests.integration.executor.processes import Node
from tests.integration.executor.scripted import Scheduler

pytestmark = pytest.mark.usefixtures("gateway")

SLOWLY: dict[str, Any] = {"heartbeat_s": 0.1, "probe_s": 0.1, "catalog_every_s": 3600.0}


async def put(node: Node, *names: str) -> None:
    await node.ask("POST", "/simnode/models", {"folder": "checkpoints", "names": list(names)})


async def until_reports(scheduler: Scheduler, count: int) -> None:
    await scheduler.until(lambda: len(scheduler.catalogs) >= count)


async def test_added_model_is_reported_at_the_next_catalog_check(start_executor, scheduler, node) -> None:
    await start_executor(**SLOWLY, models_every_s=0.1)
    await until_reports(scheduler, 1)
    await put(node, "new.safetensors")
    await until_reports(scheduler, 2)
    assert scheduler.offers_model("new.safetensors")


async def test_briefly_empty_model_folder_is_reported_complete_again(start_executor, scheduler, node) -> None:
    await start_executor(**SLOWLY, models_every_s=0.1)
    await until_reports(scheduler, 1)
    whole = scheduler.catalogs[0].digest
    await put(node)
    await until_reports(scheduler, 2)
    await put(node, "sim_xl.safetensors", "sim_anime.safetensors")
    await scheduler.until(lambda: scheduler.beats[-1].catalog_digest == whole)


@pytest.mark.requirement("POST /api/v1/admin/nodes/{node}/refresh")
async def test_operator_refreshes_a_catalog_at_once(start_executor, scheduler, node) -> None:
    await start_executor(**SLOWLY, models_every_s=3600.0)
    await until_reports(scheduler, 1)
    await put(node, "new.safetensors")
    ordered = scheduler.order_refresh()
    await scheduler.until(lambda: scheduler.beats[-1].refreshed == ordered)
    await until_reports(scheduler, 2)
    assert scheduler.offers_model("new.safetensors")


async def test_unchanged_catalog_is_not_downloaded_again(start_executor, scheduler, node) -> None:
    await start_executor(**SLOWLY, models_every_s=0.1)
    await until_reports(scheduler, 1)
    looks = await node.asked("GET /models")
    beats = len(scheduler.beats)
    await scheduler.until(lambda: len(scheduler.beats) >= beats + 10)
    assert await node.asked("GET /models") > looks
    assert await node.asked("GET /object_info") == 1
