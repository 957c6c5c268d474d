import pytest

from contracts.graph_policy.format_strings import is_plain_format


@pytest.mark.parametrize(
    "text",
    ["", "no field", "{a}", "{a}, {b}, masterpiece", "{0} {}", "{a:.2f}", "{a:>10}", "{a:05d}", "{{a.b}}", "{a!r}"],
)
def test_format_string_with_plain_fields_is_accepted(text: str) -> None:
    assert is_plain_format(text)


@pytest.mark.parametrize(
    "text",
    [
        "{a.__class__}",
        "{a.sample.__globals__[logging].os.environ[PATH]}",
        "{a[0]}",
        "{0[x]}",
        "{a:{b}}",
        "{a:{b.c}}",
        "{a:1000000000}",
        "{a:.99999}",
        "{a!r:{a.b}}",
        "{a",
        "a}",
        "{ a}",
        "{\u00e4.b}",
    ],
)
def test_format_string_with_attribute_or_index_access_is_refused(text: str) -> None:
    assert not is_plain_format(text)
