"""Request bodies for class rules and invites."""

from typing import Literal

from contracts.auth.invites import InviteDays
from contracts.auth.tiers import Tier
from gateway.accounts.requests import TierField
from gateway.edge.request_model import RequestBody


class ClassRuleRequest(RequestBody):
    """Whether a node class or a pack is allowed or denied."""

    verdict: Literal["allow", "deny"]


class InviteRequest(RequestBody):
    """A new invite: the tier of the account it creates, and how many days it is valid."""

    tier: TierField = Tier.FREE
    expires_in_days: InviteDays = 7
