"""Everybody's accounts, page by page."""

import json
from uuid import UUID

from chassis.messaging.bus import Bus
from contracts.auth.accounts import LIST_USERS, Account, ListUsers, Role, UnknownUser
from contracts.auth.tiers import Tier
from gateway.api.v1 import cursors


def user_id_of(text: str) -> UUID:
    """The id in a path.

    Raises:
        UnknownUser: it is none; a malformed id is answered like one that nobody has.
    """
    try:
        user_id = UUID(text)
    except ValueError:
        raise UnknownUser from None
    if str(user_id) != text:
        raise UnknownUser
    return user_id


async def list_users(
    *,
    admin: str,
    limit: int,
    cursor: str | None,
    search: str | None,
    tier: Tier | None,
    role: Role | None,
    is_active: bool | None,
    key: bytes,
    bus: Bus,
) -> tuple[tuple[Account, ...], str | None]:
    """A page, newest first, and the cursor of the next one.

    Raises:
        BadCursor: the cursor was not given out for this admin and filter.
    """
    filters = json.dumps(["users", search, tier, role, is_active])
    asked = ListUsers(
        search=search,
        tier=tier,
        role=role,
        is_active=is_active,
        limit=limit,
        before=cursors.decode(key, cursor, tenant=admin, filters=filters) if cursor is not None else None,
    )
    page = await bus.request(LIST_USERS, asked, tenant=admin)
    if not page.more or not page.accounts:
        return page.accounts, None
    return page.accounts, cursors.encode(key, tenant=admin, filters=filters, before=page.accounts[-1].user.id)


async def read_user(text: str, *, admin: str, bus: Bus) -> Account:
    """One account, whether active or not.

    Raises:
        UnknownUser: there is none of that id.
    """
    page = await bus.request(LIST_USERS, ListUsers(user_id=user_id_of(text), limit=1), tenant=admin)
    if not page.accounts:
        raise UnknownUser
    return page.accounts[0]
