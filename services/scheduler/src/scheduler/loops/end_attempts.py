"""Periodically ends attempts whose lease lapsed or that run too long, and expires jobs that start too late."""

from collections.abc import Callable
from time import monotonic

from chassis.messaging.bus import Bus
from scheduler.usecases.attempt_lifecycle import AttemptLifecycle
from scheduler.usecases.expire_jobs import JobExpirer
from scheduler.usecases.withdraw_attempts import AttemptWithdrawer

EVERY_S = 1.0
OBSERVE_EVERY_S = 1.0
PROCESS_PAUSE_S = 5.0  # a longer gap between two observations means that this process was paused


class AttemptEnder:
    """Ends lapsed and overtime attempts, expires queued jobs and withdraws attempts from drained nodes.

    After an outage of NATS, PostgreSQL or this process every lease looks lapsed, because no heartbeat could be
    recorded. So attempts are ended only after heartbeats could arrive for a full lease duration without interruption.
    ``observe`` detects interruptions independently of how long a pass takes.

    Args:
        clock: monotonic clock, seconds.
    """

    def __init__(
        self,
        bus: Bus,
        lifecycle: AttemptLifecycle,
        expirer: JobExpirer,
        withdrawer: AttemptWithdrawer,
        *,
        lease_s: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._bus, self._lifecycle, self._expirer, self._lease_s = bus, lifecycle, expirer, lease_s
        self._withdrawer, self._clock = withdrawer, clock
        self._available_since = self._observed_at = clock()

    async def observe(self) -> None:
        """Detect that this process was paused or is disconnected. Called every ``OBSERVE_EVERY_S`` seconds."""
        self._observe()

    async def tick(self) -> None:
        """End attempts and jobs whose time has passed. Called by ``chassis.loop.Loop``.

        A pass that fails restarts the waiting time.
        """
        self._observe()
        if not self._bus.connected:
            return
        try:
            if self._could_heartbeats_arrive():
                await self._lifecycle.end_lapsed_attempts()
            if self._could_heartbeats_arrive():
                await self._lifecycle.end_overtime_attempts()
            await self._expirer.expire_jobs()
            await self._withdrawer.withdraw_from_drained_nodes()
        except Exception:
            self._available_since = self._clock()
            raise

    def _observe(self) -> None:
        now = self._clock()
        if now - self._observed_at > PROCESS_PAUSE_S or not self._bus.connected:
            self._available_since = now
        self._observed_at = now

    def _could_heartbeats_arrive(self) -> bool:
        """Whether heartbeats could arrive for a full lease duration, up to now."""
        self._observe()
        return self._clock() - self._available_since >= self._lease_s
