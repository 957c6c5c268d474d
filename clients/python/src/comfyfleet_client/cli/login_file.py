"""Stores a login between commands in a file that only its owner can read."""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from comfyfleet_client.credentials import Session
from comfyfleet_client.errors import UnreadableResponse
from comfyfleet_client.json_values import build_json_value, from_json

if sys.platform != "win32":
    import fcntl


@dataclass(frozen=True, slots=True)
class Login:
    """A session and the only service it may be sent to."""

    url: str
    username: str
    access_token: str
    refresh_token: str
    expires_at: datetime

    @property
    def session(self) -> Session:
        return Session(self.access_token, self.refresh_token, self.expires_at)


def find_login_path() -> Path:
    """Return ``credentials.json`` in ``COMFYFLEET_CONFIG_DIR``, else in the user's configuration directory."""
    own = os.environ.get("COMFYFLEET_CONFIG_DIR")
    shared = os.environ.get("XDG_CONFIG_HOME")
    folder = Path(own) if own else (Path(shared) if shared else Path.home() / ".config") / "comfyfleet"
    return folder / "credentials.json"


def load_login() -> Login | None:
    """Return the stored login; None if there is none or it is unreadable."""
    try:
        return from_json(Login, json.loads(find_login_path().read_text()))
    except (OSError, ValueError, UnreadableResponse):
        return None


def save_login(login: Login) -> None:
    """Replace the stored login atomically, with mode 0600."""
    file = find_login_path()
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=".credentials.")  # mode 0600
    try:
        with os.fdopen(handle, "w") as opened:
            json.dump(build_json_value(login), opened)
        Path(name).replace(file)
    finally:
        Path(name).unlink(missing_ok=True)


@contextmanager
def lock_login() -> Iterator[None]:
    """Exclude the other commands that change the stored login. Not reentrant; no effect on Windows."""
    file = find_login_path().with_suffix(".lock")
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT, 0o600)) as opened:
        if sys.platform != "win32":
            fcntl.flock(opened, fcntl.LOCK_EX)  # released when the file is closed
        yield


def delete_login() -> None:
    """Delete the stored login."""
    with suppress(FileNotFoundError):
        find_login_path().unlink()
