"""Results of admin calls about class rules and invites."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules about node classes and packs, by name."""

    allowed_classes: tuple[str, ...] = ()
    denied_classes: tuple[str, ...] = ()
    allowed_packs: tuple[str, ...] = ()
    denied_packs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClassRules(Rules):
    """The rules in force; a denial wins. Rules in ``from_settings`` cannot be changed by the API."""

    from_settings: Rules = field(default_factory=Rules)


@dataclass(frozen=True, slots=True)
class Invite:
    """An invite without its token. ``used_by`` is the account registered with it."""

    id: str
    tier: str
    created_at: datetime
    expires_at: datetime
    created_by: str | None = None
    used_by: str | None = None
    used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewInvite:
    """A new invite. ``invite`` is its token, shown only once."""

    id: str
    invite: str = field(repr=False)
    tier: str
    created_at: datetime
    expires_at: datetime
    created_by: str | None = None


@dataclass(frozen=True, slots=True)
class InvitePage:
    """A page of invites, newest first; ``next_cursor`` is None on the last page."""

    invites: tuple[Invite, ...]
    next_cursor: str | None = None

    @property
    def items(self) -> tuple[Invite, ...]:
        return self.invites
