"""Passwords are hashed beside the event loop, a few at a time."""

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

NICE = 10  # whoever hashes gives way to those who serve
WAIT_S = 1.0  # for a thread; a new password needs one twice, within contracts.auth.rpc.PASSWORD_HASH_TIMEOUT_S
RETRY_S = 1.0


class HashingPool:
    """Hashes in threads of its own; who finds no place is refused at once. Each hash takes 19 MiB while it runs.

    Who has waited too long is refused as well, and nothing is hashed for it: hashes are slow where others need the
    cores, and whoever asked would have gone by the time.

    Args:
        threads: hashes at the same time.
        queue: requests that may wait for one of them.
        wait_s: how long they may.
    """

    def __init__(self, hashes: PasswordHashes, *, threads: int, queue: int, wait_s: float = WAIT_S) -> None:
        self._hashes, self._wait_s = hashes, wait_s
        self._free = threads + queue
        self._turns = asyncio.Semaphore(threads)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="hashing", initializer=_give_way)

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place in the queue, to be taken before anything is looked up.

        Raises:
            TooManyLogins: there is none.
        """
        if self._free <= 0:
            raise TooManyLogins(retry_after_s=RETRY_S)
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1

    async def check(self, password: str, stored: str | None) -> Checked:
        """Whether the password is the stored one, in the time that one verification takes.

        Raises:
            TooManyLogins: its turn did not come.
        """
        return await self._in_turn(self._hashes.check, password, stored)

    async def make(self, password: str) -> str:
        """The hash to keep of a new password.

        Raises:
            TooManyLogins: its turn did not come.
        """
        return await self._in_turn(self._hashes.make, password)

    def close(self) -> None:
        """Start no more hashes."""
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
    if sys.platform == "linux":  # where a thread has a priority of its own
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
