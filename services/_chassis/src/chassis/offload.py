"""Work that would hold the event loop, done in a thread beside it."""

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
    """The result of ``work``, called in the process's one thread for such work.

    One thread and not several: threads that compute only take the interpreter's lock from each other, and the event
    loop would wait for each of them in turn. A single call into C (parsing of JSON, a regular expression) keeps that
    lock, and so the loop waits for it here as well: bound its input, or split it.
    """
    context = copy_context()
    return await asyncio.get_running_loop().run_in_executor(_thread, lambda: context.run(work, *args, **kwargs))
