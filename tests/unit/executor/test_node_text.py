import pytest

from executor.domain.node_text import (
    clean_name,
    format_file_name,
    is_addressable,
    is_servable,
    is_valid_name,
    truncate_text,
)

REPLACED = "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("7", "7"),
        ("a\x00b", f"a{REPLACED}b"),
        ("\ud83d", REPLACED),
        ("x\udcff", f"x{REPLACED}"),
        ("\x1b[31m", f"{REPLACED}[31m"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("\U0001f602", "\U0001f602"),
        ("x" * 10_000, "x" * 256),
        ("", ""),
        (5, None),
        (None, None),
        (["a"], None),
    ],
)
def test_names_are_sanitized_and_bounded(said: object, told: str | None) -> None:
    assert clean_name(said) == told


def test_only_the_beginning_of_a_long_text_is_sanitized() -> None:
    assert len(truncate_text("x" * 10**6)) == 4_000
    assert truncate_text({"a": 1}) == ""


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a.png", "a.png"),
        ("sub/a.png", "a.png"),
        ("C:\\temp\\a.png", "a.png"),
        ("caf\udce9.png", f"caf{REPLACED}.png"),
        ("a\x00\n.png", "a__.png"),
        ("x" * 10_000 + ".png", "x" * 251 + ".png"),
        ("a" + "x" * 300 + "_00001_.png", "a" + "x" * 243 + "_00001_.png"),
    ],
)
def test_file_names_are_shown_without_folders_and_control_characters(name: str, shown: str) -> None:
    assert format_file_name(name) == shown


@pytest.mark.parametrize(
    ("names", "reached"),
    [
        (("a.png", "sub"), True),
        (("a b+%.png", ""), True),
        (("\U0001f602.png", ""), True),
        (("caf\udce9.png", ""), False),
        (("a.png", "caf\udce9"), False),
        (("a\x00.png", ""), False),
    ],
)
def test_file_name_that_is_not_utf_8_cannot_be_requested(names: tuple[str, str], reached: bool) -> None:
    assert is_addressable(*names) is reached


@pytest.mark.parametrize(
    ("name", "given"), [("a.b.png", True), ("a..b.png", False), ("a\nb.png", False), ("/srv/a.png", False)]
)
def test_node_refuses_file_names_with_double_dots_or_absolute_paths(name: str, given: bool) -> None:
    assert is_servable(name) is given


@pytest.mark.parametrize("value", ["a\x00", "\ud800", "x" * 301, 5, None, ["a"]])
def test_catalog_option_that_postgresql_cannot_store_is_invalid(value: object) -> None:
    assert not is_valid_name(value)
