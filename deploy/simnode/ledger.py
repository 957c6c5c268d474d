"""A record of everything that a node did, in order. Tests compare it with what a scheduler reports."""

import time
import uuid
from collections import Counter
from dataclasses import asdict, dataclass, field

from simnode.wire import Document


@dataclass(slots=True)
class LedgerEntry:
    """One acceptance of a prompt. A prompt_id that was accepted twice has two entries. Times are epoch seconds."""

    prompt_id: str
    client_id: object
    received: float
    started: float | None = None
    finished: float | None = None
    outcome: str | None = None


@dataclass(slots=True)
class Ledger:
    """Append-only record of acceptances, starts, ends and interrupts since the process started.

    ``requests`` counts requests by method and route, such as ``GET /queue``.
    """

    boot_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    prompts: list[LedgerEntry] = field(default_factory=list)
    interrupts: list[Document] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)
    max_running: int = 0
    _running: int = 0

    def record_acceptance(self, prompt_id: str, client_id: object) -> None:
        """Record that a prompt was validated and queued."""
        self.prompts.append(LedgerEntry(prompt_id, client_id, time.time()))

    def record_start(self, prompt_id: str) -> None:
        """Record that the worker took a prompt: the oldest waiting acceptance of that id."""
        entry = self._find_first_unended(prompt_id, started=False)
        entry.started = time.time()
        self._running += 1
        self.max_running = max(self.max_running, self._running)

    def record_end(self, prompt_id: str, outcome: str) -> None:
        """Record that a started prompt ended, as ``success``, ``error`` or ``interrupted``."""
        entry = self._find_first_unended(prompt_id, started=True)
        entry.finished, entry.outcome = time.time(), outcome
        self._running -= 1

    def record_deletion(self, prompt_id: str) -> None:
        """Record that a waiting prompt was removed from the queue: its outcome is ``deleted``."""
        entry = self._find_first_unended(prompt_id, started=False)
        entry.finished, entry.outcome = time.time(), "deleted"

    def record_interrupt(self, prompt_id: str | None, *, effective: bool) -> None:
        """Record an interrupt of a prompt, or of the running one (None). It is ``effective`` if it set the flag."""
        self.interrupts.append({"prompt_id": prompt_id, "at": time.time(), "effective": effective})

    def describe(self) -> Document:
        """Return the JSON body of ``GET /simnode/ledger``."""
        return {
            "boot_id": self.boot_id,
            "prompts": [asdict(entry) for entry in self.prompts],
            "interrupts": list(self.interrupts),
            "requests": dict(self.requests),
            "max_running": self.max_running,
        }

    def _find_first_unended(self, prompt_id: str, *, started: bool) -> LedgerEntry:
        return next(
            entry
            for entry in self.prompts
            if entry.prompt_id == prompt_id and entry.outcome is None and (entry.started is not None) == started
        )
