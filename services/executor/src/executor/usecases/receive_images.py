"""Receives output images over the node's websocket and detects lost ones."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from chassis.telemetry.logs import log
from executor.domain.attempt_result import AttemptResult, build_node_fault, build_workflow_failure
from executor.domain.websocket_images import WebsocketImage, WebsocketImageDecoder

MAX_BYTES = 512 << 20  # bytes of all images of one prompt; they are kept in memory until stored
LATE_FRAMES_S = 30.0  # seconds to wait for late frames after the history reports the end
LATE_FRAMES_AFTER_DISCONNECT_S = 2.0  # seconds after a disconnect: the end event may have been lost

IMAGES_LOST = build_node_fault("node.fault", "The connection to the node broke while the node sent its images.")
IMAGES_TOO_LARGE = build_workflow_failure(
    "workflow.output_too_large",
    "The images that the workflow sends over the websocket are too large. Save them with SaveImage instead.",
)


class ImageReceiver:
    """Processes the events and frames of one prompt.

    Args:
        on_image: called with every image.
    """

    def __init__(self, images: WebsocketImageDecoder, *, on_image: Callable[[WebsocketImage], None]) -> None:
        self._images, self._on_image = images, on_image
        self._changed = asyncio.Event()
        self._bytes = 0
        self._has_overflowed = False

    def on_event(self, kind: str, data: Mapping[str, Any]) -> None:
        """Process an event of this prompt."""
        self._images.apply_event(kind, data)
        self._changed.set()

    def on_frame(self, frame: bytes) -> None:
        """Process a binary message."""
        if self._bytes > MAX_BYTES or (image := self._images.decode_frame(frame)) is None:
            return
        self._bytes += len(image.content)
        if self._bytes <= MAX_BYTES:
            self._on_image(image)

    def on_disconnect(self) -> None:
        """Record that events and frames were lost."""
        self._images.record_disconnect()
        self._changed.set()

    async def wait_for_late_images(self, *, had_oversized_message: Callable[[], bool]) -> None:
        """Wait for late frames after the prompt ended: its history entry may exist before they arrive.

        Args:
            had_oversized_message: returns whether a message was too large.
        """
        began = time.monotonic()
        while self._images.missing_nodes and not self._images.has_ended:
            within_s = LATE_FRAMES_S if self._images.is_complete else LATE_FRAMES_AFTER_DISCONNECT_S
            self._changed.clear()
            try:
                async with asyncio.timeout(began + within_s - time.monotonic()):
                    await self._changed.wait()
            except TimeoutError:
                self._images.record_disconnect()
                break
        self._has_overflowed = had_oversized_message()

    def find_failure(self) -> AttemptResult | None:
        """Return the result of the attempt if an image was lost; None if all arrived."""
        missing = self._images.missing_nodes
        if self._bytes > MAX_BYTES or (missing and self._has_overflowed):
            return IMAGES_TOO_LARGE
        if missing:
            log.warning("executor.images.lost", nodes=missing[:10])
            return IMAGES_LOST
        return None
