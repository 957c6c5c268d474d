"""Distinguishes faults of the infrastructure, which operators repair, from bugs, which need a traceback."""

import errno

from nats.errors import Error as NatsError

from chassis.database.postgres import is_unavailable

_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
_FILES = frozenset({errno.EMFILE, errno.ENFILE})
_MESSAGES = ("No space left on device", "Disk quota exceeded", "Read-only file system", "Input/output error")


def is_infrastructure_fault(error: BaseException) -> bool:
    """Whether the error means a full or broken disk, or a lost database, message bus or network connection."""
    if isinstance(error, NatsError | ConnectionError | TimeoutError):
        return True
    if isinstance(error, OSError):
        return error.errno in _DISK | _FILES | {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ECONNREFUSED}
    return is_unavailable(error) or any(message in str(error) for message in _MESSAGES)
