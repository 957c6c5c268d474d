"""Linux features that Python does not offer: death signals, process names, user namespaces.

On other systems all functions do nothing: children then outlive a supervisor that is killed with SIGKILL.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
CLONE_NEWUSER = 0x10000000
NAMESPACE_ID = 1000  # any uid except 0: the uid and gid that PostgreSQL sees

LINUX = sys.platform == "linux"
_libc = ctypes.CDLL(None, use_errno=True) if LINUX else None


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent process ``parent`` ends, for any reason.

    A change of user clears this: call it afterwards.
    """
    if _libc is None:
        return
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # the parent ended before the line above
        os._exit(1)


def set_process_name(name: str) -> None:
    """Set the name (up to 15 bytes) that ps and top show."""
    if _libc is not None:
        _libc.prctl(PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def enter_user_namespace() -> None:
    """Stop being root but keep access to our files: map our uid to an unprivileged one in a new namespace.

    Raises:
        OSError: this system does not allow it.
    """
    uid, gid = os.geteuid(), os.getegid()
    if _libc is None or _libc.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "user namespaces are not available")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{NAMESPACE_ID} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{NAMESPACE_ID} {gid} 1")
