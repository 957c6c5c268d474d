"""What the node wrote to its standard streams, as ``/internal/logs/raw`` tells it: one entry for each write."""

from collections import deque
from datetime import datetime

from simnode.wire import Document

KEPT = 300  # entries; ComfyUI's capacity


class NodeLog:
    """The newest entries."""

    def __init__(self) -> None:
        self._entries: deque[Document] = deque(maxlen=KEPT)

    def write(self, text: str) -> None:
        """Add what one write wrote."""
        self._entries.append({"t": datetime.now().isoformat(), "m": text})  # noqa: DTZ005 - ComfyUI's is local time, too

    def entries(self) -> list[Document]:
        """All kept log lines, oldest first."""
        return list(self._entries)
