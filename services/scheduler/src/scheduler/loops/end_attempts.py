"""Periodically ends attempts whose lease lapsed or that run too long, and expires jobs that start too late."""

from time import monotonic

from chassis.messaging.bus import Bus
from scheduler.usecases.attempt_lifecycle import AttemptLifecycle
from scheduler.usecases.expire_jobs import JobExpirer
from scheduler.usecases.withdraw_attempts import AttemptWithdrawer

EVERY_S = 1.0
PROCESS_PAUSE_S = 5.0  # a longer gap between two ticks means that this process was paused


class AttemptEnder:
    """Ends lapsed and overtime attempts, expires queued jobs and withdraws attempts from drained nodes.

    After an outage of NATS, PostgreSQL or this process every lease looks lapsed, because no heartbeat could be
    recorded. So attempts are ended only after heartbeats could arrive for a full lease duration without interruption.
    """

    def __init__(
        self,
        bus: Bus,
        lifecycle: AttemptLifecycle,
        expirer: JobExpirer,
        withdrawer: AttemptWithdrawer,
        *,
        lease_s: float,
    ) -> None:
        self._bus, self._lifecycle, self._expirer, self._lease_s = bus, lifecycle, expirer, lease_s
        self._withdrawer = withdrawer
        self._connected_since: float | None = None
        self._last_tick = monotonic()

    async def tick(self) -> None:
        """End attempts and jobs whose time has passed. Called by ``chassis.loop.Loop``.

        A pass that fails restarts the waiting time.
        """
        now = monotonic()
        paused, self._last_tick = now - self._last_tick > PROCESS_PAUSE_S, now
        since, self._connected_since = self._connected_since, None
        if not self._bus.connected:
            return
        await self._expirer.expire_jobs()
        await self._withdrawer.withdraw_from_drained_nodes()
        if since is None or paused:
            since = now
        elif now - since >= self._lease_s:
            await self._lifecycle.end_overtime_attempts()
            await self._lifecycle.end_lapsed_attempts()
        self._connected_since = since
