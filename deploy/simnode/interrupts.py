"""The flag that stops a running prompt. It is only read at interrupt checks."""

import time

from simnode.faults import ArmedFaults


class Interrupted(Exception):
    """Stops the running prompt: an interrupt check found the flag set."""


class InterruptFlag:
    """Set by clients; cleared when a prompt starts and when an interrupt check has seen it.

    As in ComfyUI, a request between dequeue and start is lost.
    """

    def __init__(self, faults: ArmedFaults) -> None:
        self._set_at: float | None = None
        self._faults = faults

    def set(self) -> None:
        """Request that the running prompt stop at its next interrupt check."""
        self._set_at = time.monotonic()

    def clear(self) -> None:
        self._set_at = None

    def check(self) -> None:
        """Stop the prompt if the flag is set, and clear the flag. Runs before each node and at each progress update.

        Raises:
            Interrupted: the flag was set; with the fault ``interrupt_latency`` at least that many seconds ago.
        """
        if self._set_at is None:
            return
        latency = self._faults.get_params("interrupt_latency")
        if latency is not None and time.monotonic() - self._set_at < float(latency.get("seconds", 0)):
            return
        if latency is not None:
            self._faults.trigger("interrupt_latency")
        self.clear()
        raise Interrupted
