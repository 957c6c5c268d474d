import pytest

from executor.domain.named_files import FilePlace, is_of_prompt, places_named_by, written_ns

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("mesh.glb", FilePlace("output", "", "mesh.glb")),
        ("3d/mesh.glb", FilePlace("output", "3d", "mesh.glb")),
        ("3d\\mesh.glb", FilePlace("output", "3d", "mesh.glb")),
        ("a.png [temp]", FilePlace("temp", "", "a.png")),
        ("temp/bg_1.png", FilePlace("temp", "", "bg_1.png")),
        ("/srv/ComfyUI/output/sub/a.mp4", FilePlace("output", "sub", "a.mp4")),
        ("C:\\ComfyUI\\temp\\a.wav", FilePlace("temp", "", "a.wav")),
    ],
)
def test_text_output_can_name_a_file_on_the_node(text: str, first: FilePlace) -> None:
    assert places_named_by(text)[0] == first


def test_file_name_without_folder_may_be_saved_or_temporary() -> None:
    assert [place.folder for place in places_named_by("mesh.glb")] == ["output", "temp"]


@pytest.mark.parametrize(
    "text",
    [
        "", "a caption", "Version 3.14", ".png", "a.unknown", "/etc/hosts.txt", "C:\\a.png", "../a.png",
        "a/../../b.png", "a.png\nb.png", "\x00.png", "\ud800.png", "x" * 500 + ".png", "a.png [input]",
    ],
)  # fmt: skip
def test_other_strings_name_no_file(text: str) -> None:
    assert places_named_by(text) == ()


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
    assert written_ns(etag, last_modified) == written


def test_file_belongs_to_the_prompt_only_if_written_after_it_started() -> None:
    started_ms = 1_795_935_600_500.0
    started_ns = int(started_ms) * 1_000_000
    assert is_of_prompt(started_ns, started_ms)
    assert is_of_prompt(started_ns - 9_000_000, started_ms)  # timestamps of a file system can lag by a tick
    assert not is_of_prompt(started_ns - 20_000_000, started_ms)
    assert not is_of_prompt(started_ns // SECOND * SECOND, started_ms)  # has a resolution of one second
