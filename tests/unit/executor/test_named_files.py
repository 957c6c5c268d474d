import pytest

from executor.domain.named_files import NodeFilePath, is_written_during_prompt, list_possible_files, parse_modified_ns

SECOND = 1_000_000_000


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


def test_file_name_without_folder_may_be_saved_or_temporary() -> None:
    assert [place.folder for place in list_possible_files("mesh.glb")] == ["output", "temp"]


@pytest.mark.parametrize(
    "text",
    [
        "", "a caption", "Version 3.14", ".png", "a.unknown", "/etc/hosts.txt", "C:\\a.png", "../a.png",
        "a/../../b.png", "a.png\nb.png", "\x00.png", "\ud800.png", "x" * 500 + ".png", "a.png [input]",
    ],
)  # fmt: skip
def test_other_strings_name_no_file(text: str) -> None:
    assert list_possible_files(text) == ()


@pytest.mark.parametrize(
    ("etag", "last_modified", "written"),
    [
        ('"17f3a2b4c5d6e7f8-1a2b"', None, 0x17F3A2B4C5D6E7F8),
        ('W/"ff-0"', "Sun, 29 Nov 2026 07:00:00 GMT", 0xFF),
        ('"sha256-of-a-proxy"', "Sun, 29 Nov 2026 07:00:00 GMT", 1_795_935_600 * SECOND),
        (None, "Sun, 29 Nov 2026 07:00:00 GMT", 1_795_935_600 * SECOND),
        (None, "yesterday", None),
        (None, None, None),
    ],
)
def test_node_reports_the_modification_time_of_a_file(
    etag: str | None, last_modified: str | None, written: int | None
) -> None:
    assert parse_modified_ns(etag, last_modified) == written


def test_file_belongs_to_the_prompt_only_if_written_after_it_started() -> None:
    started_ms = 1_795_935_600_500.0
    started_ns = int(started_ms) * 1_000_000
    assert is_written_during_prompt(started_ns, started_ms)
    assert is_written_during_prompt(started_ns - 9_000_000, started_ms)  # the clock of a file system may lag by a tick
    assert not is_written_during_prompt(started_ns - 20_000_000, started_ms)
    assert not is_written_during_prompt(started_ns // SECOND * SECOND, started_ms)  # known to the second only
