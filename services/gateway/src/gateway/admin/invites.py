"""Lists the invites of the server."""

from uuid import UUID

from chassis.messaging.bus import Bus
from contracts.auth.invites import LIST_INVITES, Invite, ListInvites, UnknownInvite
from gateway.api.v1 import cursors
from gateway.signing.keys import SigningKeys

_FILTERS = "invites"  # the list has no filters; this text refuses the cursors of other lists


def parse_invite_id(text: str) -> UUID:
    """Return the invite id in a path.

    Raises:
        UnknownInvite: the text is not a UUID in its canonical form.
    """
    try:
        invite_id = UUID(text)
    except ValueError:
        raise UnknownInvite from None
    if str(invite_id) != text:
        raise UnknownInvite
    return invite_id


class InviteDirectory:
    """All invites, until 90 days after they expired."""

    def __init__(self, bus: Bus, *, cursor_keys: SigningKeys) -> None:
        self._bus, self._cursor_keys = bus, cursor_keys

    async def list_invites(
        self, *, admin: str, limit: int, cursor: str | None
    ) -> tuple[tuple[Invite, ...], str | None]:
        """Return a page of invites, newest first, and the cursor of the next page.

        Raises:
            BadCursor: the cursor was made for another list or admin.
        """
        key = self._cursor_keys
        before = cursors.decode(key, cursor, tenant=admin, filters=_FILTERS) if cursor is not None else None
        page = await self._bus.request(LIST_INVITES, ListInvites(limit=limit, before=before), tenant=admin)
        if not page.more or not page.invites:
            return page.invites, None
        return page.invites, cursors.encode(key, tenant=admin, filters=_FILTERS, before=page.invites[-1].id)
