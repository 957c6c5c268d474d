import pytest

from gateway.console.files import ConsoleFile


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, br", "br"),
        ("GZIP", "gzip"),
        ("br;q=0.1, gzip;q=1.0", "br"),
        ("br; q=0, gzip", "gzip"),
        ("br;q=0.000,gzip ; q=0.5", "gzip"),
        ("br;q=0, gzip;q=0.0", None),
        ("identity", None),
        ("", None),
    ],
)
def test_console_file_compression_follows_accept_encoding(accepted: str, coding: str | None) -> None:
    file = ConsoleFile("text/css", b"plain", {"br": b"by br", "gzip": b"by gzip"})
    assert file.choose_encoding(accepted) == (coding, file.compressed[coding] if coding else b"plain")
