import pytest

from gateway.edge.prefer import parse_preferred_wait_s


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        ([], None),
        (["wait=10"], 10),
        (["WAIT = 10"], 10),
        (['wait="10"'], 10),
        (["wait=10; why=tests"], 10),
        (["respond-async, wait=10"], 10),
        (["respond-async", "wait=10"], 10),
        (["wait=10, wait=20"], 10),  # RFC 7240, section 2: the first counts
        (["wait=0"], 1),
        (["wait=1"], 1),
        (["wait=300"], 300),
        (["wait=301"], 300),
        (["wait=999999999"], 300),
        (["wait"], None),
        (["wait="], None),
        (["wait=-1"], None),
        (["wait=1.5"], None),
        (["wait=٣"], None),
        (["waiting=10"], None),
        (["", ";;;,,,==="], None),
    ],
)
def test_prefer_header_uses_the_first_wait_within_bounds(sent: list[str], seconds: int | None) -> None:
    assert parse_preferred_wait_s(sent) == seconds
