"""Invites, page by page."""

from uuid import UUID

from chassis.messaging.bus import Bus
from contracts.auth.invites import LIST_INVITES, Invite, ListInvites, UnknownInvite
from gateway.api.v1 import cursors

_FILTERS = "invites"  # there are none; the text keeps cursors of other lists out


def invite_id_of(text: str) -> UUID:
    """The id in a path.

    Raises:
        UnknownInvite: the text is no id as this API writes it; answered like an id that no invite has.
    """
    try:
        invite_id = UUID(text)
    except ValueError:
        raise UnknownInvite from None
    if str(invite_id) != text:
        raise UnknownInvite
    return invite_id


async def list_invites(
    *, admin: str, limit: int, cursor: str | None, key: bytes, bus: Bus
) -> tuple[tuple[Invite, ...], str | None]:
    """A page, newest first, and the cursor of the next one.

    Raises:
        BadCursor: the cursor was not given out for this list and admin.
    """
    before = cursors.decode(key, cursor, tenant=admin, filters=_FILTERS) if cursor is not None else None
    page = await bus.request(LIST_INVITES, ListInvites(limit=limit, before=before), tenant=admin)
    if not page.more or not page.invites:
        return page.invites, None
    return page.invites, cursors.encode(key, tenant=admin, filters=_FILTERS, before=page.invites[-1].id)
