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
"""Faults that happen ``count`` times, once by default; the others go on until cleared, unless a count is given."""

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
        self._fired: dict[str, int] = {}
        self._changed = asyncio.Event()

    def arm(self, name: str, params: Document) -> None:
        """Arm a fault. This replaces an earlier arming of the same name."""
        armed = {**DEFAULTS.get(name, {}), **params}
        if name in ONE_SHOT and not armed.get("until_freed"):  # which "oom" knows: until /free is applied
            armed.setdefault("count", 1)
        self._armed[name] = armed
        self._wake()

    def clear(self, name: str | None = None) -> None:
        """Disarm one fault, or all. Damage that is already done (a dead worker, a poisoned device) remains."""
        if name is None:
            self._armed.clear()
        else:
            self._armed.pop(name, None)
        self._wake()

    def params(self, name: str) -> Document | None:
        """Return the parameters of an armed fault; None if it is not armed. Does not count."""
        return self._armed.get(name)

    def fire(self, name: str, **conditions: Any) -> Document | None:
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
                self.clear(name)
        return {"name": name, **armed}

    def count_occurrence(self, name: str) -> None:
        """Count one occurrence without using up the arming."""
        self._fired[name] = self._fired.get(name, 0) + 1

    async def wait_until_cleared(self, name: str) -> None:
        """Wait until a fault is not armed."""
        while name in self._armed:
            await self._changed.wait()

    def describe(self) -> Document:
        """Return every fault that was ever armed: its parameters while armed (else null) and how often it occurred."""
        names = sorted(self._armed.keys() | self._fired.keys())
        rows = [
            {"name": n, "armed": n in self._armed, "params": self._armed.get(n), "fired": self.fired(n)} for n in names
        ]
        return {"faults": rows}

    def fired(self, name: str) -> int:
        """Return how often a fault has occurred since the node started."""
        return self._fired.get(name, 0)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
