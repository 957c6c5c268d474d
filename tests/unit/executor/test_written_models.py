"""The formats are those of ComfyUI 0.33's /experiment/models."""

from typing import Any

import pytest

from executor.domain.written_models import find_output_folders, find_written_models


def listed(output: str) -> list[dict[str, Any]]:
    models = "/srv/comfy/models"
    return [
        {"name": "checkpoints", "folders": [f"{models}/checkpoints", f"{output}/checkpoints"]},
        {"name": "text_encoders", "folders": [f"{models}/text_encoders", f"{models}/clip", f"{output}/clip"]},
        {"name": "controlnet", "folders": [f"{models}/controlnet"]},
    ]


@pytest.mark.parametrize(
    ("argv", "output"),
    [
        (["main.py"], "/srv/comfy/output"),
        (["main.py", "--output-directory", "/data/made"], "/data/made"),
        (["main.py", "--output-directory=/data/made/"], "/data/made"),
        (["main.py", "--output-directory", "../made"], "/srv/made"),
        (["main.py", "--base-directory", "/data"], "/data/output"),
        (["main.py", "--base-directory", "/data", "--output-directory", "/x/y"], "/x/y"),
        (["main.py", "--base-directory", "D:\\comfy"], "D:\\comfy\\output"),
        (None, "/srv/comfy/output"),
    ],
)
def test_model_folders_in_the_output_folder_are_found(argv: Any, output: str) -> None:
    assert find_output_folders(listed(output), argv) == {"checkpoints": {1}, "text_encoders": {2}}


def test_chosen_output_folder_is_not_mistaken_for_another() -> None:
    assert find_output_folders(listed("/srv/comfy/output"), ["main.py", "--output-directory", "/data/made"]) == {}


def test_models_found_only_in_the_output_folder_count_as_written() -> None:
    files = {
        "checkpoints": [
            {"name": "a.safetensors", "pathIndex": 0},
            {"name": "00-evil.safetensors", "pathIndex": 1},
            {"name": "both.safetensors", "pathIndex": 0},
            {"name": "both.safetensors", "pathIndex": 1},
        ],
        "loras": [{"name": "mine.safetensors", "pathIndex": 1}],
    }
    folders = {"checkpoints": frozenset({1}), "loras": frozenset({1})}
    assert find_written_models(files, folders) == {"00-evil.safetensors", "mine.safetensors"}


@pytest.mark.parametrize("nonsense", [None, 1, "x", [], {}, [None], [{"name": 1}], [{"name": "a", "folders": None}]])
def test_malformed_folder_names_are_not_model_folders(nonsense: Any) -> None:
    assert find_output_folders(nonsense, nonsense) == {}
    assert find_written_models({"checkpoints": nonsense}, {"checkpoints": frozenset({1})}) == frozenset()
