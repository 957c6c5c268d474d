"""Limits on concurrent password hashing."""

import asyncio
from collections.abc import AsyncIterator
from threading import Event

import pytest

from auth.domain.password_hash import Checked, PasswordHashes, argon2id
from auth.usecases.hashing import HashingPool
from contracts.auth.sessions import TooManyLogins
from tests.kit.waiting import until

NEVER_S = 3600.0


class Held(PasswordHashes):
    """A password check that blocks until released, and records its arguments."""

    def __init__(self) -> None:
        super().__init__(argon2id(memory_kib=8, passes=1))
        self.go_on, self.checked = Event(), list[str]()

    def check(self, password: str, stored: str | None) -> Checked:
        self.checked.append(password)
        self.go_on.wait()
        return super().check(password, stored)


@pytest.fixture
async def hashes() -> AsyncIterator[Held]:
    hashes = Held()
    yield hashes
    hashes.go_on.set()


@pytest.mark.requirement("B-33")
async def test_hashing_request_is_refused_when_the_queue_is_full(hashes: Held) -> None:
    pool = HashingPool(hashes, threads=1, queue=1, wait_s=NEVER_S)
    with pool.place(), pool.place(), pytest.raises(TooManyLogins), pool.place():
        pass
    with pool.place():
        pass
    pool.close()


@pytest.mark.requirement("B-33")
async def test_hashing_request_that_waits_too_long_is_refused_without_hashing(hashes: Held) -> None:
    pool = HashingPool(hashes, threads=1, queue=2, wait_s=0.01)
    first = asyncio.create_task(pool.check("first", None))
    await until(lambda: hashes.checked == ["first"])
    for hashing in (pool.check("second", None), pool.make("third")):
        with pytest.raises(TooManyLogins):
            await hashing
    hashes.go_on.set()
    assert await first == Checked(matches=False)
    await pool.check("fourth", None)
    assert hashes.checked == ["first", "fourth"]
    pool.close()
