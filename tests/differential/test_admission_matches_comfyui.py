"""Admission and ComfyUI's own validation agree on hundreds of workflows and name the same inputs.

Runs on a simulated node of each version, and on the real nodes in ``COMFYUI_URL``, where nothing is executed.
"""

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from executor.domain.catalog import parse_catalog
from scheduler.domain.catalog import Catalog
from simnode.settings import VERSION_0_3, VERSION_0_33
from tests.contract.simnode.driver import running_driver
from tests.differential.bases import build_base_workflows
from tests.differential.busy_node import keep_node_busy
from tests.differential.hand_made import build_handmade_workflows
from tests.differential.intended_differences import find_intended_difference
from tests.differential.judgements import Judgement, judge_admission, judge_node_response
from tests.differential.mutations import Case, generate_cases
from tests.e2e.test_uploads_in_jobs import png
from tests.kit.http import http_client
from tests.ordinary_graphs.builder import UPLOADS

REAL = [url for url in os.environ.get("COMFYUI_URL", "").split(",") if url]
LEAST = 600  # workflows per node
SEED = 20261129
PER_WORKFLOW_REAL, PER_WORKFLOW_SIMULATED = 5, 16


@pytest.mark.requirement("B-40")
@pytest.mark.parametrize("version", [VERSION_0_33, VERSION_0_3])
async def test_admission_matches_a_simulated_node(version: str, tmp_path: Path) -> None:
    async with running_driver(tmp_path, version=version) as driver:
        await compare(driver.node.url, PER_WORKFLOW_SIMULATED)


@pytest.mark.skipif(not REAL, reason="needs COMFYUI_URL")
@pytest.mark.parametrize("url", REAL)
async def test_admission_matches_a_real_node(url: str) -> None:
    await compare(url, PER_WORKFLOW_REAL)


async def compare(url: str, per_workflow: int) -> None:
    """Validate the corpus on both sides. Fails with every unintended difference."""
    async with http_client(base_url=url, timeout=120) as client:
        uploaded = await upload(client)
        info = (await client.get("/object_info")).raise_for_status().json()
        catalog = Catalog(parse_catalog(info))
        counts: Counter[str] = Counter()
        unexplained = []
        async with keep_node_busy(client, info) as node:
            for case in corpus(info, uploaded, per_workflow):
                theirs = judge_node_response(*await node.post(case.workflow))
                ours = judge_admission(case.workflow, catalog)
                counts["refused" if theirs.kinds else "accepted"] += 1
                counts["refused by us"] += bool(ours.kinds)
                if not is_same(theirs, ours):
                    reason = find_intended_difference(case.workflow, theirs, ours, info)
                    counts[reason or "unexplained"] += 1
                    if reason is None:
                        unexplained.append((case, theirs, ours))
    for what, count in counts.most_common():
        print(f"{count:6} {what}")
    assert not unexplained
    assert counts["accepted"] + counts["refused"] >= LEAST
    assert min(counts["accepted"], counts["refused"]) >= LEAST // 6


def corpus(info: Mapping[str, Any], uploaded: Mapping[str, str], per_workflow: int) -> list[Case]:
    """Return ordinary workflows and one per class, each with single changes, and those written by hand."""
    made = [Case(name, workflow) for name, workflow in build_handmade_workflows().items()]
    return made + list(generate_cases(build_base_workflows(info, uploaded), per_workflow=per_workflow, seed=SEED))


def is_same(theirs: Judgement, ours: Judgement) -> bool:
    return bool(theirs.kinds) == bool(ours.kinds) and theirs.places == ours.places


async def upload(client: httpx.AsyncClient) -> dict[str, str]:
    """Upload files to the node; returns their names by the placeholder in ordinary workflows."""
    names = {}
    for upload_id, suffix in UPLOADS.items():
        content = png("red") if suffix == ".png" else b"empty"
        files, overwrite = {"image": (upload_id + suffix, content)}, {"overwrite": "true"}
        names[upload_id] = (
            (await client.post("/upload/image", files=files, data=overwrite)).raise_for_status().json()["name"]
        )
    return names
