"""Finished prompts, in memory only."""

from simnode.wire import Document, QueueItem

MAX_ENTRIES = 10_000  # ComfyUI's MAXIMUM_HISTORY_SIZE
SECRET_KEYS = ("auth_token_comfy_org", "api_key_comfy_org")


class History:
    """Entries by prompt_id, in order of completion. A repeated prompt_id replaces the earlier entry's value."""

    def __init__(self) -> None:
        self._entries: dict[str, Document] = {}

    def add(self, item: QueueItem, outputs: Document, meta: Document, status: Document) -> None:
        """Add an ended prompt. Beyond 10,000 entries the oldest is dropped."""
        if len(self._entries) > MAX_ENTRIES:
            self._entries.pop(next(iter(self._entries)))
        number, prompt_id, prompt, extra, targets = item[:5]
        kept = {key: value for key, value in extra.items() if key not in SECRET_KEYS}
        self._entries[prompt_id] = {
            "prompt": [number, prompt_id, prompt, kept, targets],
            "outputs": outputs,
            "status": status,
            "meta": meta,
        }

    def get_entry(self, prompt_id: str) -> Document:
        """Return ``{prompt_id: entry}``; ``{}`` if the prompt is unknown, waiting or running."""
        return {prompt_id: self._entries[prompt_id]} if prompt_id in self._entries else {}

    def list_page(self, max_items: int | None, offset: int) -> Document:
        """Return entries in order of completion: all, the last ``max_items``, or ``max_items`` from ``offset``."""
        rows = list(self._entries.items())
        start = offset
        if offset < 0:
            start = len(rows) - max_items if max_items is not None else 0
        start = max(start, 0)
        end = len(rows) if max_items is None else start + max_items
        return dict(rows[start:end])

    def delete(self, prompt_id: str) -> None:
        """Drop one entry, if it exists."""
        self._entries.pop(prompt_id, None)

    def clear(self) -> None:
        self._entries.clear()
