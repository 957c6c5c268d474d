"""Warnings of a validation: inputs for which the node runs something other than what was sent."""

from typing import Any

from contracts.graph_policy.policy import GraphPolicy, TenantPolicy
from contracts.wire.errors import FieldError
from contracts.workflow import MAX_ERRORS, read_graph
from scheduler.domain.fleet_check import RunnableGraph, check_fleet
from scheduler.domain.notices import list_notices
from tests.kit.catalogs import simulated_catalog

CATALOG = simulated_catalog("zz/detail.safetensors")
IMAGE: dict[str, Any] = {
    "class_type": "EmptyImage",
    "inputs": {"width": 32, "height": 32, "batch_size": 1, "color": 1},
}
SAVE = {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "a"}}


def notices(raw: dict[str, Any], *, randomize_seeds: bool = False) -> tuple[FieldError, ...]:
    graph, errors = read_graph(raw)
    assert not errors
    found = check_fleet(
        graph,
        frozenset(),
        [CATALOG],
        policy=TenantPolicy(mode=GraphPolicy.OPEN),
        draw_seed=lambda _: 1,
        randomize_seeds=randomize_seeds,
    )
    assert isinstance(found, RunnableGraph)
    return list_notices(graph, found)


def image(**inputs: Any) -> dict[str, Any]:
    return {"1": {**IMAGE, "inputs": {**IMAGE["inputs"], **inputs}}, "2": SAVE}


def test_unchanged_graph_has_no_warnings() -> None:
    assert notices(image()) == ()


def test_warning_shows_a_converted_value() -> None:
    (notice,) = notices(image(width="64"))
    assert (notice.code, notice.node_id, notice.input) == ("value_converted", "1", "width")
    assert notice.message == 'EmptyImage.width is "64" and runs as 64.'
    assert notice.pointer == "/workflow/1/inputs/width"


def test_unwrapped_number_causes_no_warning() -> None:
    assert notices(image(width={"__value__": 64})) == ()


def test_converted_path_separator_causes_a_warning() -> None:
    loader = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "zz\\detail.safetensors"}}
    (notice,) = notices({"1": loader, "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}})
    assert (notice.code, notice.input) == ("value_converted", "ckpt_name")
    assert "zz/detail.safetensors" in notice.message


def test_warning_about_an_ignored_input_suggests_a_similar_name() -> None:
    (notice,) = notices(image(widht=64))
    assert (notice.code, notice.input) == ("input_ignored", "widht")
    assert notice.message == 'EmptyImage has no input "widht", so it is ignored. Did you mean width?'


def test_unused_node_causes_a_warning() -> None:
    (notice,) = notices({**image(), "7": IMAGE})
    assert (notice.code, notice.node_id) == ("node_not_used", "7")
    assert notice.message == 'Node "7" (EmptyImage) feeds no output node, so it does not run.'


def test_drawn_seed_causes_a_warning() -> None:
    usual = {"steps": 1, "cfg": 1.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    links = {"model": ["1", 0], "positive": ["2", 0], "negative": ["2", 0], "latent_image": ["3", 0]}
    raw = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "zz/detail.safetensors"}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a", "clip": ["1", 1]}},
        "3": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "4": {"class_type": "KSampler", "inputs": {**links, **usual, "seed": 5}},
        "5": {"class_type": "PreviewAny", "inputs": {"source": ["4", 0]}},
    }
    assert notices(raw) == ()
    (notice,) = notices(raw, randomize_seeds=True)
    assert (notice.code, notice.node_id, notice.input) == ("seed_random", "4", "seed")


def test_number_of_warnings_is_bounded() -> None:
    raw = {**image(), **{f"n{place}": IMAGE for place in range(2 * MAX_ERRORS)}}
    assert len(notices(raw)) == MAX_ERRORS
