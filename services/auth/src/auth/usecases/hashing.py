"""Hashes passwords in a bounded number of threads."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TypeVar, TypeVarTuple

from auth.domain.password_hash import Checked, PasswordHashes
from contracts.auth.sessions import TooManyLogins

A = TypeVarTuple("A")
T = TypeVar("T")

NICE = 10  # hashing threads yield to the threads that serve requests
WAIT_S = 1.0  # wait for a thread; a password change waits twice, within contracts.auth.rpc.PASSWORD_HASH_TIMEOUT_S
RETRY_S = 1.0


class HashingPool:
    """Hashes in its own threads and refuses requests beyond its queue. Each running hash takes 19 MiB.

    A request that has waited too long is refused without hashing: its client would be gone by then.

    Args:
        threads: concurrent hashes.
        queue: requests that may wait.
        wait_s: maximum wait, seconds.
    """

    def __init__(self, hashes: PasswordHashes, *, threads: int, queue: int, wait_s: float = WAIT_S) -> None:
        self._hashes, self._wait_s = hashes, wait_s
        self._free = threads + queue
        self._turns = asyncio.Semaphore(threads)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="hashing", initializer=_give_way)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Reserve a place in the queue before any lookup.

        Raises:
            TooManyLogins: the queue is full.
        """
        if self._free <= 0:
            raise TooManyLogins(retry_after_s=RETRY_S)
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1

    async def check(self, password: str, stored: str | None) -> Checked:
        """Verify the password in the time of one verification.

        Raises:
            TooManyLogins: the wait was too long.
        """
        return await self._in_turn(self._hashes.check, password, stored)

    async def make(self, password: str) -> str:
        """Hash a new password.

        Raises:
            TooManyLogins: the wait was too long.
        """
        return await self._in_turn(self._hashes.make, password)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_turn(self, work: Callable[[*A], T], *args: *A) -> T:
        try:
            async with asyncio.timeout(self._wait_s):
                await self._turns.acquire()
        except TimeoutError:
            raise TooManyLogins(retry_after_s=RETRY_S) from None
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)
        finally:
            self._turns.release()


def _give_way() -> None:
    if sys.platform == "linux":  # platforms with per-thread priorities
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
