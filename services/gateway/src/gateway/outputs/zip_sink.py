"""ZIP files that are sent while they are written."""


class ZipSink:
    """Where zipfile writes to; it cannot seek, and so zipfile puts sizes and checksums behind the content."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, content: bytes) -> int:
        """Take what zipfile has made."""
        self._written += content
        return len(content)

    def flush(self) -> None:
        """Nothing waits here for anything."""

    def close(self) -> None:
        """Nothing is open."""

    def taken(self) -> bytes:
        """What was written since the last time."""
        taken = bytes(self._written)
        self._written.clear()
        return taken
