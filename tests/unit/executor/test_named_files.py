import pytest

from executor.domain.named_files import (
    SECOND_NS,
    ModifiedTime,
    NodeFilePath,
    RunPeriod,
    is_written_during_prompt,
    list_possible_files,
    parse_modified_time,
)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("mesh.glb", NodeFilePath("output", "", "mesh.glb")),
        ("3d/mesh.glb", NodeFilePath("output", "3d", "mesh.glb")),
        ("3d\\mesh.glb", NodeFilePath("output", "3d", "mesh.glb")),
        ("a.png [temp]", NodeFilePath("temp", "", "a.png")),
        ("temp/bg_1.png", NodeFilePath("temp", "", "bg_1.png")),
        ("/srv/ComfyUI/output/sub/a.mp4", NodeFilePath("output", "sub", "a.mp4")),
        ("C:\\ComfyUI\\temp\\a.wav", NodeFilePath("temp", "", "a.wav")),
    ],
)
def test_text_output_can_name_a_file_on_the_node(text: str, first: NodeFilePath) -> None:
    assert list_possible_files(text)[0] == first


def test_file_name_without_folder_may_be_in_output_or_temp() -> None:
    assert [place.folder for place in list_possible_files("mesh.glb")] == ["output", "temp"]


@pytest.mark.parametrize(
    "text",
    [
        "", "a caption", "Version 3.14", ".png", "a.unknown", "/etc/hosts.txt", "C:\\a.png", "../a.png",
        "a/../../b.png", "a.png\nb.png", "\x00.png", "\ud800.png", "x" * 500 + ".png", "a.png [input]",
    ],
)  # fmt: skip
def test_other_strings_are_not_file_names(text: str) -> None:
    assert list_possible_files(text) == ()


@pytest.mark.parametrize(
    ("etag", "last_modified", "written"),
    [
        ('"17f3a2b4c5d6e7f8-1a2b"', None, ModifiedTime(0x17F3A2B4C5D6E7F8)),
        ('W/"ff-0"', "Sun, 29 Nov 2026 07:00:00 GMT", ModifiedTime(0xFF)),
        ('"sha256-of-a-proxy"', "Sun, 29 Nov 2026 07:00:00 GMT", ModifiedTime(1_795_935_600 * SECOND_NS, SECOND_NS)),
        (None, "Sun, 29 Nov 2026 07:00:00 GMT", ModifiedTime(1_795_935_600 * SECOND_NS, SECOND_NS)),
        (None, "yesterday", None),
        (None, None, None),
    ],
)
def test_node_reports_the_modification_time_of_a_file(
    etag: str | None, last_modified: str | None, written: ModifiedTime | None
) -> None:
    assert parse_modified_time(etag, last_modified) == written


@pytest.mark.parametrize(
    ("after_start_ms", "uncertainty_ms", "expected"),
    [
        (0, 0, True),
        (-9, 0, True),  # a file system's clock may lag by one tick
        (2_000, 0, True),
        (300, 1_000, True),
        (-20, 0, False),
        (-500, 1_000, False),
        (2_001, 0, False),  # written during the next prompt
        (1_500, 1_000, False),
    ],
)
def test_file_belongs_to_the_prompt_only_if_certainly_written_while_it_ran(
    after_start_ms: int, uncertainty_ms: int, *, expected: bool
) -> None:
    start_ms = 1_795_935_600_500
    written = ModifiedTime((start_ms + after_start_ms) * 1_000_000, uncertainty_ms * 1_000_000)
    assert is_written_during_prompt(written, RunPeriod(start_ms, start_ms + 2_000)) is expected
