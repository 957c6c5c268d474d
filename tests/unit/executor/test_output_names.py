"""Rewriting of file name prefixes for the node, and of file names in its outputs."""

import pytest

from executor.domain.node_text import is_servable
from executor.domain.output_names import (
    MAX_NAME_BYTES,
    OutputNameTranslator,
    encode_file_name,
    encode_name_part,
    encode_prefix,
)

FOLDER = "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee/1"
LONGEST_FILE_NAME = 255  # maximum bytes of a file name


def named(requested: str, ending: str = "_00001_.png", **tokens: int) -> str:
    """Return the name reported for the first file that a node writes for this requested prefix."""
    prefix = encode_prefix(requested)
    for token, value in tokens.items():
        prefix = prefix.replace(f"%{token}%", str(value))
    subfolder, _, stem = f"{FOLDER}/{prefix}".rpartition("/")
    filename = f"{stem}{ending}"
    assert is_servable(filename)
    assert len(filename.encode()) <= LONGEST_FILE_NAME
    graph = {"2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": requested}}}
    return OutputNameTranslator(graph, FOLDER).translate(filename, subfolder)


@pytest.mark.parametrize(
    "requested",
    [
        "a cat... at night",
        "portrait..final",
        "portrait.",
        ".hidden",
        "...",
        "日本語_Файл",
        "\U0001f468\u200d\U0001f680 é",
        "2026",
        " spaced ",
        "50% & more+#1=a;b,(c)[d]{e}'f`g@h^i!j$k",
        "tilde ~41 ~n ~~ end",
        "%date:yyyy-MM-dd%",
        'a<b>c"d|e?f*',
        "-rf",
        "x" * 200,
        "語" * 200,
        "." * 150,
        "x" * MAX_NAME_BYTES,
        "x" * (MAX_NAME_BYTES + 1),
    ],
)
def test_output_file_keeps_the_requested_name(requested: str) -> None:
    assert named(requested) == f"{requested}_00001_.png"


@pytest.mark.parametrize(
    ("requested", "prefix", "name"),
    [
        ("hello/img", "hello/img", "img"),
        ("a//b/./../c/", "a/c", "c"),
        ("..\\..\\evil", "evil", "evil"),
        ("../../a/../../evil", "evil", "evil"),
        ("/tmp/evil", "tmp/evil", "evil"),
        ("C:\\x\\y", "C~3a/x/y", "y"),
        ("v1..2/a..b", "v1~2e~2e2/a~2e~2eb", "a..b"),
        ("../../", "ComfyUI", "ComfyUI"),
        ("..", "ComfyUI", "ComfyUI"),
        ("", "ComfyUI", "ComfyUI"),
        ("checkpoints/00-evil", "checkpoints/00-evil", "00-evil"),
        ("a\x00b\nc", "a~00b~0ac", "a_b_c"),
        ("\ud800", "_", "_"),
    ],
)
def test_output_prefix_cannot_leave_the_attempt_folder(requested: str, prefix: str, name: str) -> None:
    assert encode_prefix(requested) == prefix
    assert encode_file_name(requested) == prefix.rpartition("/")[2]
    assert named(requested) == f"{name}_00001_.png"


def test_number_and_length_of_folders_are_bounded() -> None:
    *folders, name = encode_prefix("/".join(["語" * 100] * 100)).split("/")
    assert len(folders) == 8
    assert max(len(folder.encode()) for folder in folders) <= 60
    assert len(name.encode()) <= MAX_NAME_BYTES + 2


def test_node_placeholders_for_size_and_time_are_recognized() -> None:
    assert named("%width%x%height%-%year%", width=32, height=16, year=2026) == "32x16-2026_00001_.png"
    long = "%width%..." + "x" * 190
    assert named(long, width=4096) == f"4096...{'x' * 190}_00001_.png"


def test_files_of_one_batch_get_distinct_names() -> None:
    assert "%batch_num%" not in encode_prefix("a%batch_num%b")
    assert named("a%batch_num%b", "_00001_.png") == "a0b_00001_.png"
    assert named("a%batch_num%b", "_00012.webp") == "a11b_00012.webp"


@pytest.mark.parametrize(("requested", "part"), [(".", "."), ("_", "_"), ("/", "_"), ("..", "~2e~2e"), ("", "")])
def test_suffix_or_delimiter_in_a_prefix_creates_no_folder(requested: str, part: str) -> None:
    assert encode_name_part(requested) == part


def test_name_of_a_file_outside_the_attempt_folder_is_unchanged() -> None:
    names = OutputNameTranslator({}, FOLDER)
    assert names.translate("a~2eb.png", "other/1") == "a~2eb.png"
    assert names.translate("a~2eb.png", FOLDER + "0") == "a~2eb.png"
    assert names.translate("a~2eb.png", f"{FOLDER}/sub") == "a.b.png"
    assert names.translate("a~2fb.png", FOLDER) == "b.png"


def test_shortened_name_without_a_known_original_stays_shortened() -> None:
    assert OutputNameTranslator({}, FOLDER).translate(f"{'x' * 180}~~_00001_.png", FOLDER) == f"{'x' * 180}_00001_.png"
