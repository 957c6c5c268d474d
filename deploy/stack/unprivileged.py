"""Runs PostgreSQL, which refuses to run as root, when we are root. Changes permissions of our own directory only."""

import os
import pwd
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stack.linux import enter_user_namespace

ACCOUNTS = ("postgres", "nobody")


class CannotRunPostgres(Exception):
    """PostgreSQL cannot be run here. The message says what to do."""


@dataclass(frozen=True, slots=True)
class UnprivilegedRunner:
    """How to run a program as a user other than root.

    Attributes:
        description: description for people.
        switch_user: called in the child before the program starts.
        owner: uid and gid that must own the data directory; None for our own.
    """

    description: str
    switch_user: Callable[[], None]
    owner: tuple[int, int] | None = None


def choose_runner(program: Path, data: Path) -> UnprivilegedRunner:
    """Return the first runner that works here: it can run ``program --version``.

    Args:
        program: an executable of PostgreSQL.
        data: the directory that it will write to; need not exist yet.

    Raises:
        CannotRunPostgres: no runner works.
    """
    if os.geteuid() != 0:
        return UnprivilegedRunner("you", lambda: None)
    in_namespace = UnprivilegedRunner("root in a user namespace of its own", enter_user_namespace)
    if _can_run(in_namespace, program, Path("/")):
        return in_namespace
    for name in ACCOUNTS:
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        data.parent.chmod(0o711)  # our own state directory: its content stays private
        runner = UnprivilegedRunner(f"user {name}", _build_account_switch(account), (account.pw_uid, account.pw_gid))
        if _can_run(runner, program, data.parent):
            return runner
    raise CannotRunPostgres(
        "PostgreSQL refuses to run as root, user namespaces are switched off here, and no unprivileged account "
        f"({', '.join(ACCOUNTS)}) can reach both {data.parent} and {program}. Run ./dev as a normal user, or clone to "
        "and keep the state (--state) in a directory that others may enter, e.g. below /srv or /tmp."
    )


def _build_account_switch(account: pwd.struct_passwd) -> Callable[[], None]:
    def switch_user() -> None:
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)

    return switch_user


def _can_run(runner: UnprivilegedRunner, program: Path, folder: Path) -> bool:
    def switch_user() -> None:
        runner.switch_user()
        os.chdir(folder)

    try:
        subprocess.run([program, "--version"], preexec_fn=switch_user, check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return False
    return True
