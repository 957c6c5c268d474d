"""Constructs accounts, sessions, keys and tickets."""

from dataclasses import dataclass

from gateway.accounts import jwks_routes, key_routes, me_routes, routes, ticket_routes
from gateway.accounts.limit_changes import limit_change_loop
from gateway.accounts.me import MeView
from gateway.accounts.public_keys import PublicKeys
from gateway.wiring import Feature, Infrastructure


@dataclass(frozen=True, kw_only=True)
class Accounts(Feature):
    """The feature, and the cached limits and use of each user."""

    me: MeView


def wire_accounts(infra: Infrastructure) -> Accounts:
    """Construct the feature."""
    bus = infra.bus
    me = MeView(bus)
    return Accounts(
        me=me,
        routers=(
            me_routes.router(me=me),
            routes.router(bus=bus),
            key_routes.router(bus=bus),
            ticket_routes.router(bus=bus, public_url=infra.settings.public_url),
            jwks_routes.router(keys=PublicKeys(bus)),
        ),
        loops=(limit_change_loop(bus, tier_changed=me.limits_changed, user_changed=me.user_changed),),
    )
