"""The executor checks graphs against its own node's catalog, and writes no output outside of the output folder."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from contracts.graph_policy.policy import ClassRules, GraphPolicy, TenantPolicy
from contracts.scheduler.attempts import Outcome
from tests.integration.executor.graphs import picture
from tests.integration.executor.test_inputs import inverted, png
from tests.kit.http import http_client

pytestmark = pytest.mark.usefixtures("gateway")

STRICT = TenantPolicy()
OPEN = TenantPolicy(mode=GraphPolicy.OPEN)
LOADER = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sim_xl.safetensors"}}
TEXT = {"class_type": "PrimitiveString", "inputs": {"value": "comfyfleet"}}
SWITCH = {"class_type": "ComfySwitchNode", "inputs": {"switch": True, "on_true": ["text", 0], "on_false": ["text", 0]}}


def allowing(*classes: str) -> TenantPolicy:
    return TenantPolicy(rules=ClassRules(allowed_classes=classes))


def node_of(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def checkpoint_saved(prefix: Any) -> dict[str, Any]:
    saved = node_of("CheckpointSave", model=["1", 0], clip=["1", 1], vae=["1", 2], filename_prefix=prefix)
    return {"text": TEXT, "1": LOADER, "2": saved}


def picture_saved(prefix: Any) -> dict[str, Any]:
    return {"text": TEXT, "1": picture(), "2": node_of("SaveImage", images=["1", 0], filename_prefix=prefix)}


def folder_loaded(folder: Any) -> dict[str, Any]:
    loaded = node_of("LoadImageDataSetFromFolder", folder=folder)
    saved = node_of("SaveImage", images=["2", 0], filename_prefix="x")
    return {"text": TEXT, "switch": SWITCH, "2": loaded, "3": saved}


def chat(**more: Any) -> dict[str, Any]:
    asked = node_of("OpenAIChatNode", prompt="secret", persist_context=False, model="gpt-5", **more)
    return {"text": TEXT, "1": asked, "2": node_of("PreviewAny", source=["1", 0])}


REFUSED: list[tuple[dict[str, Any], TenantPolicy, str, str]] = [
    (folder_loaded("comfyfleet"), STRICT, "class_not_allowed", "2"),
    (folder_loaded("comfyfleet"), OPEN, "value_not_allowed", "2"),
    (folder_loaded(["switch", 0]), OPEN, "value_not_allowed", "2"),
    (folder_loaded(["switch", 0]), allowing("LoadImageDataSetFromFolder"), "value_not_allowed", "2"),
    (folder_loaded({"__value__": "comfyfleet"}), allowing("LoadImageDataSetFromFolder"), "value_not_allowed", "2"),
    (folder_loaded("."), allowing("LoadImageDataSetFromFolder"), "value_not_allowed", "2"),
    (folder_loaded("../temp"), allowing("LoadImageDataSetFromFolder"), "value_not_allowed", "2"),
    (checkpoint_saved("x"), STRICT, "class_not_allowed", "2"),
    (checkpoint_saved({"__value__": "checkpoints/00-evil"}), OPEN, "class_not_allowed", "2"),
    (chat(), STRICT, "class_not_allowed", "1"),
    (chat(), OPEN, "class_not_allowed", "1"),
    (chat(images=["1", 0]) | {"1": picture(), "9": chat()["1"]}, OPEN, "class_not_allowed", "9"),
    (
        {"1": node_of("RegexMatch", string="a", regex_pattern="(a+)+$", case_insensitive=True)},
        STRICT,
        "class_not_allowed",
        "1",
    ),
    ({"1": node_of("SimFail", image=["2", 0]), "2": picture()}, STRICT, "class_not_allowed", "1"),
    (
        {"text": TEXT, "1": node_of("LoadImage", image=["text", 0])} | {"2": node_of("PreviewImage", images=["1", 0])},
        OPEN,
        "value_not_allowed",
        "1",
    ),
    ({"1": node_of("LoadImage", image="comfyfleet/x.png [temp]")}, OPEN, "value_not_allowed", "1"),
    (
        {"1": {**LOADER, "inputs": {"ckpt_name": {"__value__": "sim_xl.safetensors"}}}},
        OPEN,
        "value_not_allowed",
        "1",
    ),
]


@pytest.mark.parametrize("case", REFUSED)
async def test_graph_refused_by_the_policy_never_reaches_the_node(
    start_executor, scheduler, node, case: tuple[dict[str, Any], TenantPolicy, str, str]
) -> None:
    graph, policy, code, node_id = case
    await start_executor()
    given = await scheduler.offer_job(graph, policy=policy)
    finish = await scheduler.wait_for_finish(given)
    assert (finish.outcome, finish.gpu_seconds) == (Outcome.FAILED, 0)
    assert finish.error
    assert (finish.error.code, finish.error.node_id) == (f"workflow.{code}", node_id)
    assert finish.error.node_class == graph[node_id]["class_type"]
    assert await node.count_requests("POST /prompt") == 0


FORMS: list[Any] = [
    "../../evil",
    "/tmp/evil",
    "checkpoints/00-evil",
    "..\\evil",
    ["text", 0],
    7,
    None,
    True,
    {"__value__": "checkpoints/00-evil"},
    {"__value__": ["text", 0]},
    {"a": 1},
]


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.requirement("B-43")
async def test_outputs_stay_in_the_attempt_folder_for_every_form_of_prefix(
    start_executor, scheduler, tmp_path: Path
) -> None:
    await start_executor()
    output = tmp_path / "node/output"
    policy = allowing("CheckpointSave", "SaveImageDataSetToFolder", "SaveLoRA")
    graphs = [
        *map(picture_saved, FORMS),
        *map(checkpoint_saved, FORMS),
        *(
            {
                "text": TEXT,
                "1": picture(),
                "2": node_of(
                    "SaveImageDataSetToFolder",
                    images=["1", 0],
                    folder_name=form,
                    filename_prefix=FORMS[place - 1],
                    mode="overwrite",
                ),
            }
            for place, form in enumerate(FORMS)
        ),
    ]
    for graph in graphs:
        before = files_in(tmp_path / "node")
        given = await scheduler.offer_job(graph, policy=policy)
        finish = await scheduler.wait_for_finish(given)
        assert finish.outcome is Outcome.SUCCEEDED, finish
        written = files_in(tmp_path / "node") - before
        folder = f"output/{given.ref.job_id}/1/"
        assert written
        assert all(name.startswith(folder) for name in written), written
    assert not (output / "checkpoints").exists()


async def test_job_with_a_linked_filename_prefix_never_gets_a_cached_image_of_another_job(
    start_executor, scheduler, gateway
) -> None:
    await start_executor()
    shared = picture()
    graphs = [
        {
            "text": TEXT,
            "1": shared,
            "2": node_of("SaveImage", images=["1", 0], filename_prefix=["text", 0]),
            "mine": node_of("PreviewAny", source=secret),
        }
        for secret in ("the secret of A", "what B wrote")
    ]
    stored = []
    for graph in graphs:
        finish = await scheduler.wait_for_finish(await scheduler.offer_job(graph, policy=STRICT))
        assert finish.outcome is Outcome.SUCCEEDED, finish
        stored.append([gateway.stored[output.id] for output in finish.outputs if output.name.endswith(".png")])
    assert [len(pictures) for pictures in stored] == [1, 1]
    assert b"the secret of A" in stored[0][0]
    assert b"the secret of A" not in stored[1][0]


async def test_staged_upload_is_not_listed_by_any_folder_of_the_node(
    start_executor, scheduler, gateway, node, tmp_path: Path
) -> None:
    upload = uuid4()
    gateway.uploads[upload] = png("red")
    await start_executor()
    finish = await scheduler.wait_for_finish(
        await scheduler.offer_job(inverted(upload), inputs=(upload,), policy=STRICT)
    )
    assert finish.outcome is Outcome.SUCCEEDED, finish
    assert not files_in(tmp_path / "node/input")
    assert [name for name in files_in(tmp_path / "node/temp") if name.startswith("comfyfleet/")]
    async with http_client() as client:
        described = (await client.get(f"{node.url}/object_info")).text
    assert "comfyfleet" not in described
