from typing import Any
from uuid import uuid4

import pytest

from contracts.scheduler import AttemptRef
from executor.domain.staging import MAX_PREFIX, stage

FILES = {"0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee": "comfyfleet/a.png"}
SHOWS = {"SaveImage", "PreviewAudio", "PreviewAny"}
REF = AttemptRef(job_id=uuid4(), tenant_id=uuid4(), attempt=2, lease_token=uuid4())


def staged(value: Any, name: str = "filename_prefix") -> Any:
    graph = {"3": {"class_type": "SaveImage", "inputs": {name: value, "images": ["1", 0]}}}
    return stage(graph, REF, FILES, shows=SHOWS.__contains__)["3"]["inputs"][name]


@pytest.mark.parametrize(
    ("sent", "last"),
    [
        ("img", "img"),
        ("hello/img", "img"),
        ("..\\..\\evil", "evil"),
        ("../../", "ComfyUI"),
        ("..", "ComfyUI"),
        ("", "ComfyUI"),
        ("a\x00b\nc", "a_b_c"),
        ("%year%-%width%", "%year%-%width%"),
        ("x%batch_num%", "x"),
        ("日本", "__"),
        ("x" * 500, "x" * MAX_PREFIX),
    ],
)
def test_files_go_into_the_folder_of_the_attempt(sent: str, last: str) -> None:
    assert staged(sent) == f"{REF.job_id}/2/{last}"


def test_also_inside_a_dynamic_input() -> None:
    assert staged("a", "format.filename_prefix") == f"{REF.job_id}/2/a"


def test_an_upload_goes_by_the_name_that_the_node_has_for_it() -> None:
    (upload,) = FILES
    assert staged(upload, "image") == "comfyfleet/a.png"
    assert staged(f"x{upload}", "image") == f"x{upload}"


def test_links_and_everything_else_stay() -> None:
    assert staged(["1", 0]) == ["1", 0]
    assert staged("a/b", "text") == "a/b"
    node = {"class_type": "X", "inputs": {}, "_meta": {"title": "t"}}
    graph = {"1": node}
    assert stage(graph, REF, FILES, shows=SHOWS.__contains__) == graph
    assert graph["1"] is node


@pytest.mark.parametrize("shown", sorted(SHOWS))
def test_an_output_without_a_prefix_is_of_its_attempt_alone(shown: str) -> None:
    graph = {"3": {"class_type": shown, "inputs": {"images": ["1", 0]}}}
    once, again = (
        stage(graph, REF.model_copy(update={"attempt": attempt}), FILES, shows=SHOWS.__contains__)["3"]["inputs"]
        for attempt in (1, 2)
    )
    assert once == {"images": ["1", 0], "filename_prefix": f"{REF.job_id}/1/ComfyUI"}
    assert again != once
    chosen = {"3": {"class_type": shown, "inputs": {"filename_prefix": "same"}}}
    assert stage(chosen, REF, FILES, shows=SHOWS.__contains__)["3"]["inputs"] == {
        "filename_prefix": f"{REF.job_id}/2/same"
    }
