"""A real ComfyUI accepts the corpus of ordinary workflows. Each prompt is cancelled before it runs.

A workflow is skipped if ComfyUI lacks one of its classes or model files. Empty files with the right names in the model
folders are enough: ComfyUI only reads their names before it runs a prompt.
"""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import REAL
from tests.e2e.test_uploads_in_jobs import png
from tests.ordinary_graphs.builder import UPLOADS, OrdinaryGraph
from tests.ordinary_graphs.corpus import ordinary_graphs

pytestmark = pytest.mark.skipif(not REAL, reason="needs COMFYUI_URL")


@pytest.fixture(scope="module")
def comfyui() -> Iterator[httpx.Client]:
    with httpx.Client(base_url=(REAL or "").split(",")[0], timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def object_info(comfyui: httpx.Client) -> Any:
    return comfyui.get("/object_info").raise_for_status().json()


@pytest.fixture(scope="module")
def uploaded(comfyui: httpx.Client) -> dict[str, str]:
    names = {}
    for upload, suffix in UPLOADS.items():
        content = png("red") if suffix == ".png" else b"empty"
        files, overwrite = {"image": (upload + suffix, content)}, {"overwrite": "true"}
        names[upload] = comfyui.post("/upload/image", files=files, data=overwrite).raise_for_status().json()["name"]
    return names


@pytest.mark.parametrize("graph", ordinary_graphs(), ids=lambda graph: graph.name)
def test_comfyui_accepts_every_ordinary_graph(
    graph: OrdinaryGraph, comfyui: httpx.Client, object_info: Any, uploaded: dict[str, str]
) -> None:
    if missing := graph.classes - object_info.keys():
        pytest.skip(f"this ComfyUI has no {', '.join(sorted(missing))}")
    if absent := [name for field, name in graph.models if name not in choices(object_info, field)]:
        pytest.skip(f"this ComfyUI has no {', '.join(sorted(absent))}")
    answer = comfyui.post("/prompt", json={"prompt": graph.with_uploads(uploaded)})
    try:
        assert answer.status_code == 200, answer.text
        assert not answer.json()["node_errors"]
    finally:
        if answer.status_code == 200:
            prompt_id = answer.json()["prompt_id"]
            comfyui.post("/queue", json={"delete": [prompt_id]})
            comfyui.post("/interrupt", json={"prompt_id": prompt_id})


def choices(object_info: Any, field: str) -> list[Any]:
    class_type, _, name = field.partition(".")
    sections = object_info[class_type]["input"]
    described = {**sections.get("required", {}), **sections.get("optional", {})}[name]
    listed: list[Any] = described[0] if isinstance(described[0], list) else described[1]["options"]
    return listed
