"""Passwords between the parts, made once; and what the outside gets: keys and logins."""

import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from stack.layout import read_json, write_private_json

OUTSIDE_USER = "outside-demo"
"""NATS login of the outside system that acts for the demo user."""


@dataclass(slots=True)
class Secrets:
    """Every password of one stack. A password is made when it is first asked for, and kept."""

    path: Path
    values: dict[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path) -> Self:
        """The secrets of this state directory; none yet where it is new."""
        return cls(path, read_json(path) or {})

    def of(self, name: str) -> str:
        """The password called ``name``: 43 characters that need no quoting anywhere."""
        if name not in self.values:
            # A leading letter: NATS reads a variable's value as a number where it starts like one.
            self.values[name] = "k" + secrets.token_hex(21)
            write_private_json(self.path, self.values)
        return self.values[name]


@dataclass(frozen=True, slots=True)
class Identity:
    """A user as ``auth bootstrap`` made it."""

    user_id: str
    key: str


@dataclass(frozen=True, slots=True)
class Identities:
    """The two users that every stack starts with."""

    admin: Identity
    demo: Identity

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The users named in credentials.json, None where they are not known (any more)."""
        known = read_json(path)
        try:
            admin, demo = (Identity(known[f"{name}_user_id"], known[f"{name}_key"]) for name in ("admin", "demo"))
        except (KeyError, TypeError):
            return None
        return cls(admin, demo) if admin.key and demo.key else None


@dataclass(frozen=True, slots=True)
class Credentials:
    """What credentials.json says."""

    base_url: str
    nats_url: str
    admin_key: str
    demo_key: str
    nodes: tuple[str, ...]
    outside: dict[str, str]
    admin_user_id: str
    demo_user_id: str

    def document(self) -> dict[str, Any]:
        """As it is written."""
        return asdict(self)
