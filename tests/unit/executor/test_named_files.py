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
def test_a_string_names_a_place_on_the_node(text: str, first: FilePlace) -> None:
    assert places_named_by(text)[0] == first


def test_a_name_without_a_folder_may_be_saved_or_temporary() -> None:
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
def test_a_node_tells_when_a_file_was_written(etag: str | None, last_modified: str | None, written: int | None) -> None:
    assert written_ns(etag, last_modified) == written


def test_only_a_file_written_since_the_prompt_began_is_its_own() -> None:
    started_ms = 1_795_935_600_500.0
    started_ns = int(started_ms) * 1_000_000
    assert is_of_prompt(started_ns, started_ms)
    assert is_of_prompt(started_ns - 9_000_000, started_ms)  # the clock of a file system may lag by a tick
    assert not is_of_prompt(started_ns - 20_000_000, started_ms)
    assert not is_of_prompt(started_ns // SECOND * SECOND, started_ms)  # known to the second only
