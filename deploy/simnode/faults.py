"""Ways in which a node can misbehave on purpose, each armed by a test and counted when it really happened."""

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
    "exit": {"when": "accepted"},  # or step, finished
    "worker_death": {"when": "idle"},  # or started, step
    "interrupt_latency": {"seconds": 1.0},
    "prompt_timeout": {"seconds": 1.0},
    "slow_http": {"seconds": 1.0},
}


class FaultBoard:
    """Which faults are armed and how often each happened since the node started."""

    def __init__(self) -> None:
        self._armed: dict[str, Document] = {}
        self._fired: dict[str, int] = {}
        self._changed = asyncio.Event()

    def arm(self, name: str, params: Document) -> None:
        """Arm a fault, replacing an earlier arming of the same name."""
        armed = {**DEFAULTS.get(name, {}), **params}
        if name in ONE_SHOT:
            armed.setdefault("count", 1)
        self._armed[name] = armed
        self._wake()

    def clear(self, name: str | None = None) -> None:
        """Disarm one fault, or all. What is broken already (a dead worker, a poisoned device) stays broken."""
        if name is None:
            self._armed.clear()
        else:
            self._armed.pop(name, None)
        self._wake()

    def params(self, name: str) -> Document | None:
        """Parameters of an armed fault, None if it is not armed. Does not count."""
        return self._armed.get(name)

    def fire(self, name: str, **conditions: Any) -> Document | None:
        """Let a fault happen if it is armed for this moment, and count it.

        Args:
            name: the fault.
            conditions: parameters that must have these values, for example ``when="step"``.

        Returns:
            Its name and parameters, never empty; None if it is not armed or armed for another moment.
        """
        armed = self._armed.get(name)
        if armed is None or any(armed.get(key) != value for key, value in conditions.items()):
            return None
        self.count(name)
        if "count" in armed:
            armed["count"] -= 1
            if armed["count"] <= 0:
                self.clear(name)
        return {"name": name, **armed}

    def count(self, name: str) -> None:
        """Count one occurrence without spending the arming."""
        self._fired[name] = self._fired.get(name, 0) + 1

    async def until_clear(self, name: str) -> None:
        """Return once a fault is not armed; at once if it is not."""
        while name in self._armed:
            await self._changed.wait()

    def describe(self) -> Document:
        """Every fault that was ever armed: its parameters while armed (else null) and how often it fired."""
        names = sorted(self._armed.keys() | self._fired.keys())
        rows = [
            {"name": n, "armed": n in self._armed, "params": self._armed.get(n), "fired": self.fired(n)} for n in names
        ]
        return {"faults": rows}

    def fired(self, name: str) -> int:
        """How often a fault happened since the node started."""
        return self._fired.get(name, 0)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
