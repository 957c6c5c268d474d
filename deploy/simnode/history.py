"""Finished prompts, in memory only."""

from simnode.wire import Document, QueueItem

MAX_ENTRIES = 10_000  # ComfyUI's MAXIMUM_HISTORY_SIZE
SECRETS = ("auth_token_comfy_org", "api_key_comfy_org")


class History:
    """prompt_id -> entry, in order of completion. A repeated prompt_id replaces the value of the earlier entry."""

    def __init__(self) -> None:
        self._entries: dict[str, Document] = {}

    def add(self, item: QueueItem, outputs: Document, meta: Document, status: Document) -> None:
        """Write the end of a prompt; the oldest entry goes when there are more than 10 000."""
        if len(self._entries) > MAX_ENTRIES:
            self._entries.pop(next(iter(self._entries)))
        number, prompt_id, prompt, extra, targets = item[:5]
        kept = {key: value for key, value in extra.items() if key not in SECRETS}
        self._entries[prompt_id] = {
            "prompt": [number, prompt_id, prompt, kept, targets],
            "outputs": outputs,
            "status": status,
            "meta": meta,
        }

    def one(self, prompt_id: str) -> Document:
        """``{prompt_id: entry}``, or ``{}`` if it is unknown, waiting or running."""
        return {prompt_id: self._entries[prompt_id]} if prompt_id in self._entries else {}

    def page(self, max_items: int | None, offset: int) -> Document:
        """A slice in order of completion: everything, the last ``max_items``, or ``max_items`` from ``offset``."""
        rows = list(self._entries.items())
        start = offset
        if offset < 0:
            start = len(rows) - max_items if max_items is not None else 0
        start = max(start, 0)
        end = len(rows) if max_items is None else start + max_items
        return dict(rows[start:end])

    def delete(self, prompt_id: str) -> None:
        """Drop one entry, if there."""
        self._entries.pop(prompt_id, None)

    def clear(self) -> None:
        """Drop all entries."""
        self._entries.clear()
