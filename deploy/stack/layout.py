"""The files in the state directory of a stack, and how to replace a file atomically."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class StateLayout:
    """The state directory of one stack. A stack writes only below ``state``."""

    state: Path

    @property
    def logs(self) -> Path:
        """Directory with one log file per process."""
        return self.state / "logs"

    @property
    def lock_file(self) -> Path:
        """File that is locked while a supervisor runs; contains its pid."""
        return self.state / "supervisor.pid"

    @property
    def ready_file(self) -> Path:
        """File that exists once everything is up.

        It contains the supervisor's pid, because a killed supervisor does not delete it.
        """
        return self.state / "ready"

    @property
    def credentials_file(self) -> Path:
        """File with the URLs, API keys and login that external systems use."""
        return self.state / "credentials.json"

    @property
    def processes_file(self) -> Path:
        """File with the pids of all running processes by name."""
        return self.state / "processes.json"

    @property
    def secrets_file(self) -> Path:
        """File with the passwords that the components use among themselves."""
        return self.state / "secrets.json"

    @property
    def environments(self) -> Path:
        """Directory with one file per service: its environment variables, to run it by hand."""
        return self.state / "env"

    @property
    def postgres(self) -> Path:
        return self.state / "postgres"

    @property
    def nats(self) -> Path:
        """Directory with the NATS configuration and the JetStream store."""
        return self.state / "nats"

    @property
    def artifacts(self) -> Path:
        return self.state / "artifacts"

    def get_directory(self, name: str) -> Path:
        """Return the private directory of one process."""
        return self.state / name

    def get_log_path(self, name: str) -> Path:
        """Return the log file of one process."""
        return self.logs / f"{name}.log"

    def create(self) -> None:
        """Create the directories, accessible only to the owner."""
        for folder in (self.state, self.logs, self.nats, self.artifacts, self.environments):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def write_private(path: Path, text: str) -> None:
    """Replace a file atomically, with mode 600. A reader sees the old or the new text, never a part."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    partial.replace(path)


def write_private_json(path: Path, content: Any) -> None:
    """Replace a JSON file atomically, with mode 600."""
    write_private(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Return the document in a file; None if there is no file or it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def read_last_lines(path: Path, lines: int = 15) -> str:
    """Return the last lines of a log."""
    try:
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""
