"""Leases expire only after heartbeats could arrive for a full lease duration."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from scheduler.loops.end_attempts import AttemptEnder

LEASE_S = 15.0
SLOW_PASS_S = 20


class Fakes:
    """The collaborators of an attempt ender: they record what it does, and take the time that a test sets."""

    def __init__(self) -> None:
        self.now, self.connected, self.ended = 1000.0, True, 0
        self.during_pass: Callable[[], Any] = lambda: None
        self.ender = AttemptEnder(
            cast("Any", self),
            cast("Any", self),
            cast("Any", self),
            cast("Any", self),
            lease_s=LEASE_S,
            clock=lambda: self.now,
        )

    async def live(self, seconds: float) -> None:
        """Let time pass during which the process runs."""
        for _ in range(int(seconds)):
            self.now += 1
            await self.ender.observe()

    async def run(self, seconds: float) -> None:
        """Let time pass with a pass of the ender every second."""
        for _ in range(int(seconds)):
            await self.live(1)
            await self.ender.tick()

    async def end_lapsed_attempts(self) -> None:
        self.ended += 1

    async def end_overtime_attempts(self) -> None:
        pass

    async def expire_jobs(self) -> None:
        result = self.during_pass()
        if result is not None:
            await result

    async def withdraw_from_drained_nodes(self) -> None:
        pass


async def assert_no_lease_expires_for(fakes: Fakes, seconds: float) -> None:
    """Assert that lapsed attempts are ended again after this time, not before."""
    ended = fakes.ended
    await fakes.run(seconds)
    assert fakes.ended == ended
    await fakes.run(1)
    assert fakes.ended == ended + 1


async def test_leases_expire_although_each_pass_is_slow() -> None:
    fakes = Fakes()
    fakes.during_pass = lambda: fakes.live(SLOW_PASS_S)
    await fakes.run(4)
    assert fakes.ended == 3, "all but the first pass, which started before a lease duration had passed"


async def test_leases_do_not_expire_within_a_lease_duration_after_a_pause_of_the_process() -> None:
    fakes = Fakes()
    await fakes.run(LEASE_S)
    assert fakes.ended == 1
    fakes.now += 60
    await fakes.ender.tick()
    await fakes.run(LEASE_S - 1)
    assert fakes.ended == 1
    await fakes.run(1)
    assert fakes.ended == 2


async def test_leases_do_not_expire_after_a_pause_of_the_process_during_a_pass() -> None:
    fakes = Fakes()

    def pause() -> None:
        fakes.now += 60

    await fakes.run(LEASE_S)
    fakes.during_pass = pause
    await fakes.run(1)
    fakes.during_pass = lambda: None
    await assert_no_lease_expires_for(fakes, LEASE_S)


async def test_leases_do_not_expire_after_a_disconnection_during_a_pass() -> None:
    fakes = Fakes()

    async def disconnect() -> None:
        fakes.connected = False
        await fakes.live(2)
        fakes.connected = True

    await fakes.run(LEASE_S)
    fakes.during_pass = disconnect
    await fakes.run(1)
    fakes.during_pass = lambda: None
    await assert_no_lease_expires_for(fakes, LEASE_S - 1)


async def test_failed_pass_restarts_the_waiting_time() -> None:
    fakes = Fakes()

    def fail() -> None:
        raise ConnectionResetError

    await fakes.run(LEASE_S)
    fakes.during_pass = fail
    with pytest.raises(ConnectionResetError):
        await fakes.run(1)
    fakes.during_pass = lambda: None
    await assert_no_lease_expires_for(fakes, LEASE_S - 1)
