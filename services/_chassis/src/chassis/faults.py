"""Faults of dependencies for operators: what failed, where, why, and what to do."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from socket import gaierror
from time import monotonic

from chassis.telemetry.logs import log

LOG_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a dependency cannot be used.

    Attributes:
        dependency: ``database``, ``schema``, ``nats`` …
        where: address of the dependency, without a password.
        reason: what is wrong.
        action: what an operator can do.
    """

    dependency: str
    where: str
    reason: str
    action: str


class FaultLog:
    """Logs what a starting service waits for: at once, and then at most once every ``LOG_EVERY_S`` seconds."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._logged_at: float | None = None
        self.latest: Fault | None = None
        """The latest fault; None while there is none."""

    def report(self, fault: Fault) -> None:
        """Store a fault, and log it unless one was logged less than ``LOG_EVERY_S`` seconds ago."""
        self.latest = fault
        if self._logged_at is None or self._clock() - self._logged_at >= LOG_EVERY_S:
            self._logged_at = self._clock()
            log.warning("service.waiting", **asdict(fault))

    def clear(self) -> None:
        """Forget the fault, because it has ended."""
        self.latest = self._logged_at = None


def explain_error(error: BaseException) -> str:
    """Return the message of an error; common network errors get a clearer message."""
    if isinstance(error, ConnectionRefusedError):
        return "Connection refused: nothing listens there."
    if isinstance(error, gaierror):
        return f"The host name cannot be resolved: {error.strerror}."
    if isinstance(error, TimeoutError):
        return "No response in time."
    return str(error) or type(error).__name__
