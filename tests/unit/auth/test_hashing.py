"""Limits on concurrent password hashing."""

import asyncio
from collections.abc import AsyncIterator
from threading import Event

import pytest

from auth.domain.password_hash import PasswordCheck, PasswordHasher, create_argon2_context
from auth.usecases.hash_passwords import HashingPool
from contracts.auth.sessions import TooManyLogins
from tests.kit.waiting import until

NEVER_S = 3600.0


class Held(PasswordHasher):
    """A password check that blocks until released, and records its arguments."""

    def __init__(self) -> None:
        super().__init__(create_argon2_context(memory_kib=8, passes=1))
        self.go_on, self.checked = Event(), list[str]()

    def verify(self, password: str, stored: str | None) -> PasswordCheck:
        self.checked.append(password)
        self.go_on.wait()
        return super().verify(password, stored)


async def is_verified(pool: HashingPool, password: str) -> bool:
    try:
        await pool.verify(password, None)
    except TooManyLogins:
        return False
    return True


@pytest.fixture
async def hashes() -> AsyncIterator[Held]:
    hashes = Held()
    yield hashes
    hashes.go_on.set()


@pytest.mark.requirement("B-33")
async def test_hashing_request_is_refused_when_the_queue_is_full(hashes: Held) -> None:
    pool = HashingPool(hashes, threads=1, queue=1, wait_s=NEVER_S)
    with pool.reserve_slot(), pool.reserve_slot(), pytest.raises(TooManyLogins), pool.reserve_slot():
        pass
    with pool.reserve_slot():
        pass
    pool.close()


@pytest.mark.requirement("B-33")
async def test_hashing_request_that_waits_too_long_is_refused_without_hashing(hashes: Held) -> None:
    pool = HashingPool(hashes, threads=1, queue=2, wait_s=0.01)
    first = asyncio.create_task(pool.verify("first", None))
    await until(lambda: hashes.checked == ["first"])
    for hashing in (pool.verify("second", None), pool.hash("third")):
        with pytest.raises(TooManyLogins):
            await hashing
    hashes.go_on.set()
    assert await first == PasswordCheck(matches=False)
    await pool.verify("fourth", None)
    assert hashes.checked == ["first", "fourth"]
    pool.close()


@pytest.mark.requirement("B-33")
async def test_cancelled_request_occupies_its_thread_until_the_hash_ends(hashes: Held) -> None:
    pool = HashingPool(hashes, threads=1, queue=1, wait_s=0.01)
    cancelled = asyncio.create_task(pool.verify("cancelled", None))
    await until(lambda: hashes.checked == ["cancelled"])
    cancelled.cancel()
    await asyncio.wait({cancelled})
    refused = asyncio.create_task(pool.verify("refused", None))
    await until(refused.done)
    with pytest.raises(TooManyLogins):
        await refused
    hashes.go_on.set()
    await until(lambda: is_verified(pool, "next"))  # the thread may take longer than ``wait_s`` to end
    assert hashes.checked == ["cancelled", "next"]
    pool.close()
