"""What an admin may change about a user."""

from dataclasses import dataclass
from typing import Any

from auth.domain.user import User
from contracts.auth.accounts import ChangeUser, Role
from contracts.auth.tiers import Tier


@dataclass(frozen=True, slots=True)
class UserState:
    """How a user stands.

    Attributes:
        own: all of its own limits, by name.
        shares_quota: whether it is in a group that shares a daily image quota, which only counts in tier ``free``.
    """

    tier: Tier
    role: Role
    is_active: bool
    own: dict[str, Any]
    shares_quota: bool = False

    @property
    def leads(self) -> bool:
        """Whether such a user can change others."""
        return self.role is Role.ADMIN and self.is_active

    def after(self, command: ChangeUser) -> "UserState":
        """How it stands once that is done."""
        return UserState(
            tier=command.tier or self.tier,
            role=command.role or self.role,
            is_active=self.is_active if command.is_active is None else command.is_active,
            own=self.own if command.limits is None else command.limits.model_dump(),
            shares_quota=self.shares_quota if command.shares_quota is None else command.shares_quota,
        )

    def beside(self, other: "UserState") -> dict[str, Any]:
        """What differs, as the other has it: for the audit log."""
        mine, theirs = self.as_json(), other.as_json()
        return {name: theirs[name] for name in theirs if mine[name] != theirs[name]}

    def as_json(self) -> dict[str, Any]:
        """Each by its name."""
        return {
            "tier": self.tier,
            "role": self.role,
            "is_active": self.is_active,
            "limits": self.own,
            "shares_quota": self.shares_quota,
        }


def standing_of(user: User) -> UserState:
    """How a user stands now."""
    own = {name: getattr(user.limits, name) for name in user.own_limits}
    return UserState(
        tier=user.tier,
        role=user.role,
        is_active=user.is_active,
        own=own,
        shares_quota=user.address_group is not None,
    )
