"""Names that are suggested for a misspelled one, and the bounded work of finding them."""

from collections.abc import Sequence
from typing import Any

import pytest

from contracts.graph_policy.policy import GraphPolicy, TenantPolicy
from contracts.scheduler.submissions import InvalidWorkflow
from contracts.workflow import read_graph
from scheduler.domain.catalog import Catalog
from scheduler.domain.fleet_check import UnrunnableGraph, check_fleet
from scheduler.domain.validation.suggestions import find_similar_names
from tests.kit.catalogs import simulated_catalog
from tests.kit.effort import count_calls

LONG_FILES = tuple(f"{'a' * 20}_{'ab' * 60}_{number}.safetensors" for number in range(19))
CATALOG, OTHER = simulated_catalog(*LONG_FILES), simulated_catalog(*LONG_FILES, "suggestions.safetensors")
CLASSES = ("KSampler", "KSamplerAdvanced", "EmptyImage", "EmptyLatentImage", "CheckpointLoaderSimple", "VAEDecode")
FILES = (
    "sd_xl_base_1.0.safetensors",
    "sd_xl_refiner_1.0.safetensors",
    "flux1-dev-fp8.safetensors",
    "loras\\detail_tweaker_xl.safetensors",
    "4x-UltraSharp.pth",
)
# Each of 5 names looks for 40 letter pairs in all others, and compares 30 of them at a few calls per letter.
MAX_CALLS = 300_000


def repeat_runs(separator: str, number: int) -> str:
    """Return a text of runs of one letter with other letters between: difflib compares such texts in cubic time."""
    return separator.join("a" * length for length in range(18, 0, -1))[:190] + f"{number:03}"


def preview(*sources: str) -> dict[str, Any]:
    """Return nodes that preview the outputs of these nodes."""
    return {
        f"p{number}": {"class_type": "PreviewImage", "inputs": {"images": [source, 0]}}
        for number, source in enumerate(sources)
    }


def images(*node_ids: str) -> dict[str, Any]:
    values = {"width": 32, "height": 32, "batch_size": 1, "color": 1}
    return {node_id: {"class_type": "EmptyImage", "inputs": values} for node_id in node_ids}


def checkpoint(name: str) -> dict[str, Any]:
    return {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": name}}


def find_refusal(raw: dict[str, Any], *catalogs: Catalog) -> UnrunnableGraph:
    graph, errors = read_graph(raw)
    assert not errors
    found = check_fleet(graph, frozenset(), catalogs, policy=TenantPolicy(mode=GraphPolicy.OPEN), draw_seed=lambda _: 1)
    assert isinstance(found, UnrunnableGraph)
    return found


@pytest.mark.parametrize(
    ("name", "candidates", "expected"),
    [
        ("KSampler (Advanced)", CLASSES, "KSamplerAdvanced"),
        ("Ksampelr", CLASSES, "KSampler"),
        ("EmptyLatentImge", CLASSES, "EmptyLatentImage"),
        ("LoadCheckpointSimple", CLASSES, "CheckpointLoaderSimple"),
        ("vae_decode", CLASSES, "VAEDecode"),
        ("sdxl_base.safetensors", FILES, "sd_xl_base_1.0.safetensors"),
        ("flux1_dev_fp8.safetensors", FILES, "flux1-dev-fp8.safetensors"),
        ("detail_tweaker_xl.pt", FILES, "loras\\detail_tweaker_xl.safetensors"),
        ("4x_ultrasharp", FILES, "4x-UltraSharp.pth"),
    ],
)
def test_misspelled_name_finds_the_intended_one_first(name: str, candidates: Sequence[str], expected: str) -> None:
    assert find_similar_names(name, candidates)[:1] == (expected,)


@pytest.mark.parametrize("name", ["UltimateDiffuser", "foo", "", "a" * 201])
def test_unrelated_name_finds_nothing(name: str) -> None:
    assert find_similar_names(name, (*CLASSES, *FILES, "a" * 201)) == ()


def test_misspelled_node_id_finds_the_intended_one() -> None:
    raw = images("background", "foreground") | preview("foregruond")
    (error,) = find_refusal(raw, CATALOG).build_refusal().details.errors
    assert (error.code, (error.allowed or ("",))[0]) == ("broken_link", "foreground")


@pytest.mark.requirement("B-47")
@pytest.mark.parametrize(
    "raw",
    [
        images(*(repeat_runs("c", number) for number in range(30)))
        | preview(*(repeat_runs("b", number) for number in range(5))),
        images(*("".join(map(chr, range(1000 + number, 1190 + number))) for number in range(1_000)))
        | preview(*("".join(map(chr, range(900 + number, 1099 + number))) for number in range(5))),
        {str(number): checkpoint("ba" * 100) for number in range(100)}
        | {f"d{number}": {"class_type": "VAEDecode", "inputs": {"vae": [str(number), 2]}} for number in range(100)}
        | preview(*(f"d{number}" for number in range(100))),
        {"1": checkpoint(".=" * 400_000), "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}},
    ],
    ids=["repeated letters", "many letters", "one wrong name in many nodes", "dots and equals signs"],
)
def test_work_of_a_refusal_is_bounded_whatever_names_the_graph_has(raw: dict[str, Any]) -> None:
    refusal = find_refusal(raw, CATALOG, OTHER)
    built: list[InvalidWorkflow] = []
    assert count_calls(lambda: built.append(refusal.build_refusal())) < MAX_CALLS
    assert built[0].details.errors
