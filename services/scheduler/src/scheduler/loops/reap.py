"""Leases that lapse are reaped, but only by a scheduler that could have heard the heartbeats."""

from time import monotonic

from chassis.messaging.bus import Bus
from scheduler.usecases.attempt_course import AttemptLifecycle
from scheduler.usecases.expire_jobs import JobExpirer
from scheduler.usecases.withdraw_attempts import Withdrawals

EVERY_S = 1.0
GAP_S = 5.0  # a tick that comes this late says that this process was paused


class Reaper:
    """Ends lapsed and overlong attempts, overdue jobs, and what is left on drained nodes.

    After an outage of NATS, of PostgreSQL or of this process every lease looks lapsed, though the executors are well:
    they only could not say so. So nothing is reaped until for one lease's time nothing was in the way.
    """

    def __init__(
        self, bus: Bus, course: AttemptLifecycle, expirer: JobExpirer, withdrawals: Withdrawals, *, lease_s: float
    ) -> None:
        self._bus, self._course, self._expirer, self._lease_s = bus, course, expirer, lease_s
        self._withdrawals = withdrawals
        self._hearing_since: float | None = None
        self._last_tick = monotonic()

    async def tick(self) -> None:
        """One look. A duty for ``chassis.loop.Loop``; a failed look starts the waiting anew."""
        now = monotonic()
        paused, self._last_tick = now - self._last_tick > GAP_S, now
        since, self._hearing_since = self._hearing_since, None
        if not self._bus.connected:
            return
        await self._expirer.expire()
        await self._withdrawals.drain()
        if since is None or paused:
            since = now
        elif now - since >= self._lease_s:
            await self._course.end_overdue()
            await self._course.reap()
        self._hearing_since = since
