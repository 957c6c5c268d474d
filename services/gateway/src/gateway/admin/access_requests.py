"""Class rules and invites as admins ask for them."""

from typing import Literal

from contracts.auth.invites import InviteDays
from contracts.auth.tiers import Tier
from gateway.accounts.requests import Asked, AskedTier


class ClassRuleRequest(Asked):
    """What an admin decides about a node class or a pack."""

    verdict: Literal["allow", "deny"]


class InviteRequest(Asked):
    """An invite to be made: the tier of its account, and for how many days it can be used."""

    tier: AskedTier = Tier.FREE
    expires_in_days: InviteDays = 7
