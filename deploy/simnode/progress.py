"""Tracks what the nodes of one prompt have done, and sends ``progress_state``, ``progress`` and preview frames."""

import time

from simnode import frames
from simnode.hub import Hub
from simnode.wire import Document

MIN_INTERVAL_S = 0.1  # ComfyUI 0.33: both must have passed since the previous message
MIN_FRACTION = 0.005


class Progress:
    """State of every node that ran in one prompt, in order. Nodes that did not run and cached inner nodes are absent.

    Messages go to the owner of the prompt; to every socket if it has none.

    Attributes:
        parents: the id of the node that expanded, by the id of each node of its expansion.
    """

    def __init__(self, hub: Hub, prompt_id: str) -> None:
        self._hub = hub
        self._prompt_id = prompt_id
        self._nodes: dict[str, Document] = {}
        self.parents: dict[str, str] = {}

    def start(self, node_id: str) -> None:
        """Record that a node runs: 0 of 1."""
        self._set_state(node_id, 0.0, 1.0, "running")

    def finish(self, node_id: str) -> None:
        """Record that a node is done or was served from the cache: its value is its maximum."""
        maximum = self._nodes.get(node_id, {"max": 1.0})["max"]
        self._set_state(node_id, maximum, maximum, "finished")

    def step(self, node_id: str, value: float, maximum: float, image: bytes | None) -> None:
        """Record progress of a node.

        ``image`` is a preview, or an image that it sends instead of saving it, or None.
        """
        self._set_state(node_id, value, maximum, "running")
        progress = {"value": value, "max": maximum, "prompt_id": self._prompt_id, "node": node_id}
        sid = self._hub.client_id
        if image is not None and self._hub.owner_supports_metadata():
            self._hub.send_frame(frames.encode_preview_with_metadata(image, self._build_ids(node_id)), sid)
            image = None
        self._hub.send("progress", progress, sid)
        if image is not None:
            self._hub.send_frame(frames.encode_preview(image), sid)

    def _set_state(self, node_id: str, value: float, maximum: float, state: str) -> None:
        ids = self._build_ids(node_id)
        self._nodes[node_id] = {"value": value, "max": maximum, "state": state, **ids}
        nodes = {known: dict(entry) for known, entry in self._nodes.items()}
        self._hub.send("progress_state", {"prompt_id": self._prompt_id, "nodes": nodes}, self._hub.client_id)

    def _build_ids(self, node_id: str) -> Document:
        root = self.find_root(node_id)
        return {
            "node_id": node_id,
            "prompt_id": self._prompt_id,
            "display_node_id": root,
            "parent_node_id": self.parents.get(node_id),
            "real_node_id": root,
        }

    def find_root(self, node_id: str) -> str:
        """Return the prompt's node that displays this one: itself, unless another one expanded into it."""
        while node_id in self.parents:
            node_id = self.parents[node_id]
        return node_id


class ProgressThrottle:
    """Decides which steps of one progress bar are sent.

    ComfyUI 0.33 always sends the first, the last and those with a preview; others only if at least 0.1 s and 0.5 % have
    passed since the previous message. ComfyUI 0.3 sends every step.
    """

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._sent_at: float | None = None
        self._sent_value = 0.0

    def admit(self, value: float, maximum: float, *, has_preview: bool) -> bool:
        """Decide whether to send this step, and if so record it as the latest message."""
        now = time.monotonic()
        always = not self._enabled or has_preview or self._sent_at is None or value >= maximum
        if not always and not self._is_due(now, value, maximum):
            return False
        self._sent_at, self._sent_value = now, value
        return True

    def _is_due(self, now: float, value: float, maximum: float) -> bool:
        waited = now - (self._sent_at or 0.0) >= MIN_INTERVAL_S
        return waited and value - self._sent_value >= maximum * MIN_FRACTION
