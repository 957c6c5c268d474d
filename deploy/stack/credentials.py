"""Generated passwords of the components, and the keys and logins for users of the stack."""

import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from stack.layout import read_json, write_private_json

EXTERNAL_SYSTEM_USER = "outside-demo"
"""NATS login of the external system that acts for the demo user."""


@dataclass(slots=True)
class Secrets:
    """All passwords of one stack. A password is generated on first use and stored."""

    path: Path
    values: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Load the secrets of this state directory; empty for a new one."""
        return cls(path, read_json(path) or {})

    def get_or_create_password(self, name: str) -> str:
        """Return the password called ``name``: 43 characters that need no quoting."""
        if name not in self.values:
            # Starts with a letter: NATS parses a variable's value as a number if it starts like one.
            self.values[name] = "k" + secrets.token_hex(21)
            write_private_json(self.path, self.values)
        return self.values[name]


@dataclass(frozen=True, slots=True)
class Identity:
    """A user created by ``auth bootstrap``."""

    user_id: str
    key: str


@dataclass(frozen=True, slots=True)
class Identities:
    """The two initial users of every stack."""

    admin: Identity
    demo: Identity

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """Load the users from credentials.json; None if it does not have them or their keys are empty."""
        stored = read_json(path)
        try:
            admin, demo = (Identity(stored[f"{name}_user_id"], stored[f"{name}_key"]) for name in ("admin", "demo"))
        except (KeyError, TypeError):
            return None
        return cls(admin, demo) if admin.key and demo.key else None


@dataclass(frozen=True, slots=True)
class Credentials:
    """The content of credentials.json."""

    base_url: str
    nats_url: str
    admin_key: str
    demo_key: str
    nodes: tuple[str, ...]
    outside: dict[str, str]
    admin_user_id: str
    demo_user_id: str
    metrics: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return the content of the file."""
        return asdict(self)
