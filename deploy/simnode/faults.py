"""Faults that tests inject. A test arms a fault, and the node counts how often it occurs."""

import asyncio
from typing import Any

from simnode.wire import Document

NAMES = frozenset(
    {
        "error_as_success",
        "events_twice",
        "exit",
        "foreign_events",
        "history_cleared",
        "history_held",
        "interrupt_latency",
        "no_outputs",
        "oom",
        "picture_lost",
        "poisoned",
        "prompt_500",
        "prompt_timeout",
        "queue_hidden",
        "slow_http",
        "upload_lost",
        "view_404",
        "view_truncated",
        "worker_death",
        "ws_drop",
        "ws_refuse",
        "ws_stall",
    }
)

ONE_SHOT = frozenset(
    {
        "exit",
        "oom",
        "picture_lost",
        "prompt_500",
        "prompt_timeout",
        "queue_hidden",
        "upload_lost",
        "view_404",
        "view_truncated",
        "worker_death",
    }
)
"""Faults that occur ``count`` times, by default once. Others occur until disarmed, unless they have a count."""

DEFAULTS: dict[str, Document] = {
    "exit": {"when": "accepted"},  # or "step", "finished"
    "worker_death": {"when": "idle"},  # or "started", "step"
    "interrupt_latency": {"seconds": 1.0},
    "prompt_timeout": {"seconds": 1.0},
    "slow_http": {"seconds": 1.0},
}


class ArmedFaults:
    """The armed faults, and how often each has occurred since the node started."""

    def __init__(self) -> None:
        self._armed: dict[str, Document] = {}
        self._counts: dict[str, int] = {}
        self._changed = asyncio.Event()

    def arm(self, name: str, params: Document) -> None:
        """Arm a fault, or change its parameters."""
        armed = {**DEFAULTS.get(name, {}), **params}
        if name in ONE_SHOT and not armed.get("until_freed"):  # "oom" can continue until /free is applied
            armed.setdefault("count", 1)
        self._armed[name] = armed
        self._wake()

    def disarm(self, name: str | None = None) -> None:
        """Disarm one fault, or all. Its effects (a dead worker, a poisoned device) remain."""
        if name is None:
            self._armed.clear()
        else:
            self._armed.pop(name, None)
        self._wake()

    def get_params(self, name: str) -> Document | None:
        """Return the parameters of an armed fault; None if it is not armed. Does not count."""
        return self._armed.get(name)

    def trigger(self, name: str, **conditions: Any) -> Document | None:
        """Trigger a fault if it is armed for this moment, and count it.

        Args:
            name: the fault.
            conditions: parameters that must have these values, for example ``when="step"``.

        Returns:
            Its name and parameters, never empty; None if it is not armed or armed for another moment.
        """
        armed = self._armed.get(name)
        if armed is None or any(armed.get(key) != value for key, value in conditions.items()):
            return None
        self.count_occurrence(name)
        if "count" in armed:
            armed["count"] -= 1
            if armed["count"] <= 0:
                self.disarm(name)
        return {"name": name, **armed}

    def count_occurrence(self, name: str) -> None:
        """Count one occurrence. The fault stays armed."""
        self._counts[name] = self._counts.get(name, 0) + 1

    async def wait_until_disarmed(self, name: str) -> None:
        """Wait until a fault is not armed."""
        while name in self._armed:
            await self._changed.wait()

    def describe(self) -> Document:
        """Return every fault that was ever armed: its parameters while armed (else null) and how often it occurred."""
        names = sorted(self._armed.keys() | self._counts.keys())
        rows = [
            {"name": n, "armed": n in self._armed, "params": self._armed.get(n), "fired": self.get_count(n)}
            for n in names
        ]
        return {"faults": rows}

    def get_count(self, name: str) -> int:
        """Return how often a fault has occurred since the node started."""
        return self._counts.get(name, 0)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
