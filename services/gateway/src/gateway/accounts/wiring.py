"""Builds the routes and services for accounts, sessions, keys and tickets."""

from dataclasses import dataclass

from gateway.accounts import (
    jwks_routes,
    key_routes,
    login_link_routes,
    me_routes,
    routes,
    session_list_routes,
    session_routes,
    ticket_routes,
)
from gateway.accounts.limit_changes import create_limit_change_loop
from gateway.accounts.public_keys import PublicKeys
from gateway.accounts.session_cookie import SessionCookie
from gateway.accounts.user_cache import UserCache
from gateway.wiring import Feature, Infrastructure


@dataclass(frozen=True, kw_only=True)
class Accounts(Feature):
    """The wired accounts feature, with the cached limits and usage of each user."""

    users: UserCache


def wire_accounts(infra: Infrastructure) -> Accounts:
    bus, cookie = infra.bus, SessionCookie(infra.settings.public_url)
    users = UserCache(bus)
    return Accounts(
        users=users,
        routers=(
            me_routes.create_router(users=users),
            routes.create_router(bus=bus, cookie=cookie),
            session_routes.create_router(bus=bus, cookie=cookie),
            session_list_routes.create_router(bus=bus, cookie=cookie),
            login_link_routes.create_router(bus=bus, cookie=cookie),
            key_routes.create_router(bus=bus),
            ticket_routes.create_router(bus=bus, public_url=infra.settings.public_url),
            jwks_routes.create_router(keys=PublicKeys(bus)),
        ),
        loops=(
            create_limit_change_loop(
                bus, on_tier_changed=users.invalidate_all_accounts, on_user_changed=users.invalidate_account
            ),
        ),
    )
