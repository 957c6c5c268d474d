"""Collects output images from the node's websocket and detects lost ones."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from chassis.telemetry.logs import log
from executor.domain.sent_images import SentImage, SentImages
from executor.domain.verdict import AttemptResult, failed, node_fault

MAX_BYTES = 512 << 20  # bytes of all images of one prompt; they are kept in memory until stored
SETTLE_S = 30.0  # seconds to wait for late frames after the history reports the end
SETTLE_BROKEN_S = 2.0  # seconds after a disconnect: the end event may have been lost

IMAGES_LOST = node_fault("node.fault", "The connection to the node broke while the node sent its images.")
IMAGES_TOO_LARGE = failed(
    "workflow.output_too_large",
    "The images that the workflow sends over the websocket are too large. Save them with SaveImage instead.",
)


class ReceiveImages:
    """Processes the events and frames of one prompt.

    Args:
        received: called with every image.
    """

    def __init__(self, images: SentImages, *, received: Callable[[SentImage], None]) -> None:
        self._images, self._received = images, received
        self._changed = asyncio.Event()
        self._bytes = 0
        self._overflowed = False

    def on_event(self, kind: str, data: Mapping[str, Any]) -> None:
        """Process an event of this prompt."""
        self._images.take(kind, data)
        self._changed.set()

    def on_frame(self, frame: bytes) -> None:
        """Process a binary message."""
        if self._bytes > MAX_BYTES or (image := self._images.take_frame(frame)) is None:
            return
        self._bytes += len(image.content)
        if self._bytes <= MAX_BYTES:
            self._received(image)

    def on_drop(self) -> None:
        """Record that events and frames were lost."""
        self._images.drop()
        self._changed.set()

    async def settle(self, *, overflowed: Callable[[], bool]) -> None:
        """Wait for late frames after the prompt ended: the history may know of the end first.

        Args:
            overflowed: whether a message was too large.
        """
        began = time.monotonic()
        while self._images.missing and not self._images.has_ended:
            within_s = SETTLE_S if self._images.has_valid_links else SETTLE_BROKEN_S
            self._changed.clear()
            try:
                async with asyncio.timeout(began + within_s - time.monotonic()):
                    await self._changed.wait()
            except TimeoutError:
                self._images.drop()
                break
        self._overflowed = overflowed()

    def fault(self) -> AttemptResult | None:
        """Return the failure of the attempt if an image was lost; None if all arrived."""
        missing = self._images.missing
        if self._bytes > MAX_BYTES or (missing and self._overflowed):
            return IMAGES_TOO_LARGE
        if missing:
            log.warning("executor.images.lost", nodes=missing[:10])
            return IMAGES_LOST
        return None
