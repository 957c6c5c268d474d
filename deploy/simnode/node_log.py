"""The node's output to its standard streams, as in ``/internal/logs/raw``: one entry per write."""

from collections import deque
from datetime import datetime

from simnode.wire import Document

MAX_ENTRIES = 300  # entries; ComfyUI's capacity


class NodeLog:
    """The newest entries."""

    def __init__(self) -> None:
        self._entries: deque[Document] = deque(maxlen=MAX_ENTRIES)

    def write(self, text: str) -> None:
        """Add the text of one write."""
        self._entries.append({"t": datetime.now().isoformat(), "m": text})  # noqa: DTZ005 - ComfyUI's is local time, too

    def list_entries(self) -> list[Document]:
        """Return all stored entries, oldest first."""
        return list(self._entries)
