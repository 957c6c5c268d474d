"""Runs work that would block the event loop in a thread."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

INLINE_BYTES = 32 * 1024
"""A body up to this size takes about a millisecond of Python at worst. A larger one is worth a change of threads."""

_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="offload")


async def offload(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Return the result of ``work``, run in the process's single thread for such work.

    Only one thread: several computing threads would compete for the interpreter lock, and the event loop would wait for
    each of them. A single call into C (JSON parsing, a regular expression) holds that lock, so it blocks the event loop
    here too: limit its input, or split it.
    """
    context = copy_context()
    return await asyncio.get_running_loop().run_in_executor(_thread, lambda: context.run(work, *args, **kwargs))
