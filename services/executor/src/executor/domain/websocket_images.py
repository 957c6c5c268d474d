"""Images that a node sends over its websocket without saving them (SaveImageWebsocket and similar)."""

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

_SENDER_CLASS_PATTERN = re.compile(r"(save|send|output).*web_?socket", re.IGNORECASE)
_NUMBER = struct.Struct(">I")
_IMAGE, _IMAGE_WITH_METADATA = 1, 4
_MAX_METADATA = 1 << 20  # bytes

_FORMATS = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "png"),
    (re.compile(rb"\xff\xd8\xff"), "jpg"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "webp"),
    (re.compile(rb"GIF8"), "gif"),
)


@dataclass(frozen=True, slots=True)
class WebsocketImage:
    """One output image. ``number`` counts the prompt's images from 1; ``extension`` is its format."""

    node_id: str
    number: int
    extension: str
    content: bytes


class _NodeState(Enum):
    UNSEEN = auto()  # no event about it yet
    RUNNING = auto()
    DONE = auto()  # all of its images were received
    LOST = auto()  # some of its images may be lost


class WebsocketImageDecoder:
    """Distinguishes output images on the websocket from previews, and detects possibly lost images.

    A frame with metadata (type 4) names its node. A frame without (type 1) belongs to the running node, because events
    and frames arrive in order on one socket. Only nodes whose class name suggests that they send images over the
    websocket (such as ``SaveImageWebsocket``) are taken as senders; all other frames are previews.

    Attributes:
        is_complete: whether every event since the prompt was posted was received.
        has_ended: whether the end of the prompt was received.
    """

    def __init__(self, graph: Mapping[str, Any], prompt_id: str) -> None:
        self._prompt_id = prompt_id
        senders = [
            node_id for node_id, node in graph.items() if _SENDER_CLASS_PATTERN.search(str(node.get("class_type")))
        ]
        self._states = dict.fromkeys(senders, _NodeState.UNSEEN)
        self._running: str | None = None
        self._count = 0
        self.is_complete = True
        self.has_ended = False

    @property
    def missing_nodes(self) -> list[str]:
        """Nodes whose images may be missing. Meaningful only after the prompt has ended."""
        received_all = self.is_complete and self.has_ended
        harmless = {_NodeState.DONE, _NodeState.UNSEEN} if received_all else {_NodeState.DONE}
        return [node_id for node_id, state in self._states.items() if state not in harmless]

    def apply_event(self, kind: str, data: Mapping[str, Any]) -> None:
        """Process an event of this prompt."""
        if kind == "execution_cached" and isinstance(nodes := data.get("nodes"), list):
            for node_id in nodes:
                if isinstance(node_id, str) and node_id in self._states:
                    self._states[node_id] = _NodeState.LOST  # cached, so it sends nothing
        elif kind == "executing" and "node" in data:
            node_id = data.get("display_node") or data["node"]
            self._set_running_node(node_id if isinstance(node_id, str) else None)
            self.has_ended = self.has_ended or data["node"] is None

    def decode_frame(self, frame: bytes) -> WebsocketImage | None:
        """Return the output image in a binary message, if it contains one."""
        node_id, content = self._decode(frame)
        extension = next((name for magic, name in _FORMATS if magic.match(content)), None)
        if node_id is None or extension is None:
            return None
        self._count += 1
        return WebsocketImage(node_id, self._count, extension, content)

    def record_disconnect(self) -> None:
        """Record a disconnect, during which events and frames may have been lost."""
        self.is_complete, self._running = False, None
        for node_id, state in self._states.items():
            if state is _NodeState.RUNNING:
                self._states[node_id] = _NodeState.LOST

    def _set_running_node(self, node_id: str | None) -> None:
        if node_id == self._running:
            return
        if self._running is not None and self._states.get(self._running) is _NodeState.RUNNING:
            self._states[self._running] = _NodeState.DONE
        self._running = node_id
        if node_id is not None and self._states.get(node_id) in {_NodeState.UNSEEN, _NodeState.DONE}:
            self._states[node_id] = _NodeState.RUNNING

    def _decode(self, frame: bytes) -> tuple[str | None, bytes]:
        """Return the sending node (None for a preview) and the content of a frame."""
        if len(frame) < 2 * _NUMBER.size:
            return None, b""
        (kind,), (second,) = _NUMBER.unpack_from(frame), _NUMBER.unpack_from(frame, _NUMBER.size)
        if kind == _IMAGE:
            running = self._running if self._running in self._states else None
            return running, frame[8:]
        if kind == _IMAGE_WITH_METADATA and second <= _MAX_METADATA:
            return self._find_sender(frame[8 : 8 + second]), frame[8 + second :]
        return None, b""

    def _find_sender(self, metadata: bytes) -> str | None:
        try:
            fields = json.loads(metadata)
        except (ValueError, RecursionError):
            return None
        if not isinstance(fields, dict) or fields.get("prompt_id") != self._prompt_id:
            return None
        names = (fields.get("node_id"), fields.get("display_node_id"), fields.get("real_node_id"))
        return next((name for name in names if isinstance(name, str) and name in self._states), None)
