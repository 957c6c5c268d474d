"""The properties of a user that an admin can change."""

from dataclasses import dataclass
from typing import Any

from auth.domain.user import User
from contracts.auth.accounts import ChangeUser, Role
from contracts.auth.tiers import Tier


@dataclass(frozen=True, slots=True)
class UserState:
    """Role, tier, limits and state of a user.

    Attributes:
        own_limits: limits that override the tier, by name.
        shares_quota: whether the user is in a group that shares a daily image quota; applies only in tier ``free``.
    """

    tier: Tier
    role: Role
    is_active: bool
    own_limits: dict[str, Any]
    shares_quota: bool = False

    @property
    def is_active_admin(self) -> bool:
        """Whether the user is an active admin."""
        return self.role is Role.ADMIN and self.is_active

    def apply(self, command: ChangeUser) -> "UserState":
        """Return the properties after applying the change."""
        return UserState(
            tier=command.tier or self.tier,
            role=command.role or self.role,
            is_active=self.is_active if command.is_active is None else command.is_active,
            own_limits=self.own_limits if command.limits is None else command.limits.model_dump(),
            shares_quota=self.shares_quota if command.shares_quota is None else command.shares_quota,
        )

    def find_differences(self, other: "UserState") -> dict[str, Any]:
        """Return the properties that differ, with the other's values, for the audit log."""
        own, others = self.as_json(), other.as_json()
        return {name: others[name] for name in others if own[name] != others[name]}

    def as_json(self) -> dict[str, Any]:
        return {
            "tier": self.tier,
            "role": self.role,
            "is_active": self.is_active,
            "limits": self.own_limits,
            "shares_quota": self.shares_quota,
        }


def build_user_state(user: User) -> UserState:
    own_limits = {name: getattr(user.limits, name) for name in user.own_limits}
    return UserState(
        tier=user.tier,
        role=user.role,
        is_active=user.is_active,
        own_limits=own_limits,
        shares_quota=user.address_group is not None,
    )
