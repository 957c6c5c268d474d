"""Makes the disk look full to a process: the operating system refuses every write to a file beyond a size."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def full_disk(pid: int = 0, *, max_file_bytes: int = 0) -> Iterator[None]:
    """Refuse writes of a process to files beyond ``max_file_bytes`` during the block; of this one by default.

    SQLite reports an input/output error then. Its files can be read, and writes to pipes and sockets succeed. The
    process must not log to a file.
    """
    pid = pid or os.getpid()
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (max_file_bytes, hard))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # it has ended
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
