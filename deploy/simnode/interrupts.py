"""The one flag that stops a running prompt, looked at only at checkpoints."""

import time

from simnode.faults import FaultBoard


class Interrupted(Exception):
    """A checkpoint found the flag raised."""


class InterruptFlag:
    """Raised by clients, cleared when a prompt starts or a checkpoint saw it.

    A request that lands between dequeue and start is lost, as in ComfyUI.
    """

    def __init__(self, faults: FaultBoard) -> None:
        self._raised_at: float | None = None
        self._faults = faults

    def set(self) -> None:
        """Ask whatever runs to stop at its next checkpoint."""
        self._raised_at = time.monotonic()

    def clear(self) -> None:
        """Forget an earlier request."""
        self._raised_at = None

    def check(self) -> None:
        """A checkpoint: before a node is called and at each progress update.

        Raises:
            Interrupted: the flag was raised, at least ``interrupt_latency`` seconds ago if that fault is armed.
        """
        if self._raised_at is None:
            return
        latency = self._faults.params("interrupt_latency")
        if latency is not None and time.monotonic() - self._raised_at < float(latency.get("seconds", 0)):
            return
        if latency is not None:
            self._faults.fire("interrupt_latency")
        self.clear()
        raise Interrupted
