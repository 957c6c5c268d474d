"""Lists and reads the users of the server."""

import json
from uuid import UUID

from chassis.messaging.bus import Bus
from contracts.auth.accounts import LIST_USERS, Account, ListUsers, Role, UnknownUser
from contracts.auth.tiers import Tier
from gateway.api.v1 import cursors
from gateway.signing.keys import SigningKeys


def parse_user_id(text: str) -> UUID:
    """Return the user id in a path.

    Raises:
        UnknownUser: the text is not a UUID in its canonical form.
    """
    try:
        user_id = UUID(text)
    except ValueError:
        raise UnknownUser from None
    if str(user_id) != text:
        raise UnknownUser
    return user_id


class UserDirectory:
    """The accounts of all users, active or not."""

    def __init__(self, bus: Bus, *, cursor_keys: SigningKeys) -> None:
        self._bus, self._cursor_keys = bus, cursor_keys

    async def list_users(
        self,
        *,
        admin: str,
        limit: int,
        cursor: str | None,
        search: str | None,
        tier: Tier | None,
        role: Role | None,
        is_active: bool | None,
    ) -> tuple[tuple[Account, ...], str | None]:
        """Return a page of accounts, newest first, and the cursor of the next page.

        Raises:
            BadCursor: the cursor was made for another admin or filter.
        """
        filters, key = json.dumps(["users", search, tier, role, is_active]), self._cursor_keys
        query = ListUsers(
            search=search,
            tier=tier,
            role=role,
            is_active=is_active,
            limit=limit,
            before=cursors.decode(key, cursor, tenant=admin, filters=filters) if cursor is not None else None,
        )
        page = await self._bus.request(LIST_USERS, query, tenant=admin)
        if not page.more or not page.accounts:
            return page.accounts, None
        return page.accounts, cursors.encode(key, tenant=admin, filters=filters, before=page.accounts[-1].user.id)

    async def read_user(self, text: str, *, admin: str) -> Account:
        """Return one account.

        Raises:
            UnknownUser: there is no user with this id.
        """
        page = await self._bus.request(LIST_USERS, ListUsers(user_id=parse_user_id(text), limit=1), tenant=admin)
        if not page.accounts:
            raise UnknownUser
        return page.accounts[0]
