"""Where a stack keeps what: every path inside one state directory, and how a file is replaced safely."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Layout:
    """The state directory of one stack. Everything that a stack writes is below ``state``."""

    state: Path

    @property
    def logs(self) -> Path:
        """One file per process."""
        return self.state / "logs"

    @property
    def lock(self) -> Path:
        """Locked as long as a supervisor lives; holds its pid."""
        return self.state / "supervisor.pid"

    @property
    def ready(self) -> Path:
        """Exists once everything is up; holds the supervisor's pid, since one that was killed leaves it behind."""
        return self.state / "ready"

    @property
    def credentials(self) -> Path:
        """How to reach this stack: URLs, keys, the outside login."""
        return self.state / "credentials.json"

    @property
    def processes(self) -> Path:
        """Name to pid of everything that runs."""
        return self.state / "processes.json"

    @property
    def secrets(self) -> Path:
        """Passwords that the parts know each other by."""
        return self.state / "secrets.json"

    @property
    def environments(self) -> Path:
        """One file per service: the environment it runs with, to run it by hand."""
        return self.state / "env"

    @property
    def postgres(self) -> Path:
        """PostgreSQL's data directory."""
        return self.state / "postgres"

    @property
    def nats(self) -> Path:
        """NATS' configuration and JetStream store."""
        return self.state / "nats"

    @property
    def artifacts(self) -> Path:
        """The gateway's artifact store."""
        return self.state / "artifacts"

    def of(self, name: str) -> Path:
        """The private directory of one process."""
        return self.state / name

    def log_of(self, name: str) -> Path:
        """The log of one process."""
        return self.logs / f"{name}.log"

    def create(self) -> None:
        """Make the directories, readable by nobody else."""
        for folder in (self.state, self.logs, self.nats, self.artifacts, self.environments):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def write_private(path: Path, text: str) -> None:
    """Replace a file at once, mode 600: a reader sees the old text or the new, never a part."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    partial.replace(path)


def write_private_json(path: Path, content: Any) -> None:
    """The same for a JSON document."""
    write_private(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """The document in a file, None where there is no file or it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log, for a person."""
    try:
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""
