"""The target of ZIP files that are sent while they are written."""


class ZipSink:
    """A file object for zipfile that cannot seek, so zipfile writes sizes and checksums after the content."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, content: bytes) -> int:
        self._written += content
        return len(content)

    def flush(self) -> None:
        """Required by zipfile."""

    def close(self) -> None:
        """Required by zipfile."""

    def take_written(self) -> bytes:
        """Return what was written since the last call."""
        taken = bytes(self._written)
        self._written.clear()
        return taken
