"""Hashes passwords in a bounded number of threads."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TypeVar, TypeVarTuple

from auth.domain.password_hash import PasswordCheck, PasswordHasher
from contracts.auth.sessions import TooManyLogins

A = TypeVarTuple("A")
T = TypeVar("T")

THREAD_NICENESS = 10  # hashing threads yield to the threads that serve requests
# Wait for a thread. A password change waits twice, within contracts.auth.rpc.PASSWORD_HASH_TIMEOUT_S.
THREAD_WAIT_S = 1.0
RETRY_S = 1.0


class HashingPool:
    """Hashes in its own threads and refuses requests beyond its queue. Each running hash takes 19 MiB.

    A request that has waited too long is refused without hashing, because its client has probably given up.

    Args:
        threads: concurrent hashes.
        queue: requests that may wait.
        wait_s: maximum wait, seconds.
    """

    def __init__(self, hasher: PasswordHasher, *, threads: int, queue: int, wait_s: float = THREAD_WAIT_S) -> None:
        self._hasher, self._wait_s = hasher, wait_s
        self._free_slots = threads + queue
        self._thread_slots = asyncio.Semaphore(threads)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="hashing", initializer=_lower_thread_priority)

    @contextmanager
    def reserve_slot(self) -> Iterator[None]:
        """Reserve a place in the queue before any lookup.

        Raises:
            TooManyLogins: the queue is full.
        """
        if self._free_slots <= 0:
            raise TooManyLogins(retry_after_s=RETRY_S)
        self._free_slots -= 1
        try:
            yield
        finally:
            self._free_slots += 1

    async def verify(self, password: str, stored: str | None) -> PasswordCheck:
        """Verify the password in the time of one verification.

        Raises:
            TooManyLogins: the wait was too long.
        """
        return await self._run_in_thread(self._hasher.verify, password, stored)

    async def hash(self, password: str) -> str:
        """Hash a new password.

        Raises:
            TooManyLogins: the wait was too long.
        """
        return await self._run_in_thread(self._hasher.hash, password)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run_in_thread(self, work: Callable[[*A], T], *args: *A) -> T:
        try:
            async with asyncio.timeout(self._wait_s):
                await self._thread_slots.acquire()
        except TimeoutError:
            raise TooManyLogins(retry_after_s=RETRY_S) from None
        hashing = asyncio.get_running_loop().run_in_executor(self._threads, work, *args)
        # A cancelled request leaves its thread running, so the slot is released when the thread ends.
        hashing.add_done_callback(lambda _: self._thread_slots.release())
        return await asyncio.shield(hashing)


def _lower_thread_priority() -> None:
    if sys.platform == "linux":  # other platforms have no priorities per thread
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), THREAD_NICENESS)
