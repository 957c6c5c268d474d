"""Range and conditional requests (RFC 9110 sections 13 and 14), as far as downloads need them."""

import re
from dataclasses import dataclass

_ONE_RANGE = re.compile(r"^bytes=(\d{0,18})-(\d{0,18})$")


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes ``first`` up to, but not including, ``end``."""

    first: int
    end: int

    def content_range(self, size: int) -> str:
        """Return the Content-Range of a response with these bytes out of ``size``."""
        return f"bytes {self.first}-{self.end - 1}/{size}"


class UnsatisfiableError(ValueError):
    """The range begins after the last byte."""


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """Return the requested range; None if the header is missing or invalid, or has another unit or several ranges.

    Raises:
        UnsatisfiableError: the range begins after the last byte.
    """
    match = _ONE_RANGE.match(header.strip()) if header else None
    if match is None or match.group(1, 2) == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        found = ByteRange(max(0, size - int(last)), size)
    else:
        found = ByteRange(int(first), min(size, int(last) + 1 if last else size))
        if last and int(last) < int(first):
            return None
    if found.first >= found.end:
        raise UnsatisfiableError
    return found


def etag_matches(if_none_match: str | None, etag: str) -> bool:
    """Whether If-None-Match contains this ETag, by weak comparison (RFC 9110)."""
    if if_none_match is None:
        return False
    etags = [candidate.strip().removeprefix("W/") for candidate in if_none_match.split(",")]
    return "*" in etags or etag in etags
