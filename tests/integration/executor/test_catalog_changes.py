"""When an executor reloads the catalog of its node."""

from typing import Any

import pytest

from tests.integration.executor.processes import Node
from tests.integration.executor.scripted import Scheduler
from tests.kit.waiting import until

pytestmark = pytest.mark.usefixtures("gateway")

SLOWLY: dict[str, Any] = {"heartbeat_s": 0.1, "probe_s": 0.1, "catalog_every_s": 3600.0}


async def set_checkpoints(node: Node, *names: str) -> None:
    await node.request("POST", "/simnode/models", {"folder": "checkpoints", "names": list(names)})


async def wait_for_catalogs(scheduler: Scheduler, count: int) -> None:
    await scheduler.until(lambda: len(scheduler.catalogs) >= count)


async def test_added_model_is_reported_at_the_next_catalog_check(start_executor, scheduler, node) -> None:
    await start_executor(**SLOWLY, models_every_s=0.1)
    await wait_for_catalogs(scheduler, 1)
    await set_checkpoints(node, "new.safetensors")
    await scheduler.until(lambda: scheduler.offers_model("new.safetensors"))


async def test_briefly_empty_model_folder_is_reported_complete_again(start_executor, scheduler, node) -> None:
    await start_executor(**SLOWLY, models_every_s=0.1)
    await wait_for_catalogs(scheduler, 1)
    whole = scheduler.catalogs[0].digest
    await set_checkpoints(node)
    await wait_for_catalogs(scheduler, 2)
    await set_checkpoints(node, "sim_xl.safetensors", "sim_anime.safetensors")
    await scheduler.until(lambda: scheduler.heartbeats[-1].catalog_digest == whole)


@pytest.mark.requirement("POST /api/v1/admin/nodes/{node}/refresh")
async def test_operator_refreshes_a_catalog_at_once(start_executor, scheduler, node) -> None:
    await start_executor(**SLOWLY, models_every_s=3600.0)
    await wait_for_catalogs(scheduler, 1)
    await set_checkpoints(node, "new.safetensors")
    ordered = scheduler.request_refresh()
    await scheduler.until(lambda: scheduler.heartbeats[-1].refreshed == ordered)
    await wait_for_catalogs(scheduler, 2)
    assert scheduler.offers_model("new.safetensors")


async def test_unchanged_catalog_is_not_downloaded_again(start_executor, scheduler, node) -> None:
    await start_executor(**SLOWLY, models_every_s=0.1)
    await wait_for_catalogs(scheduler, 1)
    looks = await node.count_requests("GET /models")

    async def was_checked_again() -> bool:
        return bool(await node.count_requests("GET /models") >= looks + 5)

    await until(was_checked_again)
    assert await node.count_requests("GET /object_info") == 1
