"""Invites, for admins. The user in the subject is the admin who acts."""

from auth.consumers.subject import user_of
from auth.usecases.invites import Invites
from chassis.messaging.bus import Bus
from contracts.auth import Done
from contracts.registration import (
    CREATE_INVITE,
    LIST_INVITES,
    REVOKE_INVITE,
    CreatedInvite,
    CreateInvite,
    InvitePage,
    ListInvites,
    RevokeInvite,
)
from contracts.wire.topic import Address


def register(bus: Bus, *, invites: Invites) -> None:
    """Serve admins who decide who may register."""

    async def create(command: CreateInvite, address: Address) -> CreatedInvite:
        return await invites.create(user_of(address), command)

    async def list_invites(query: ListInvites, address: Address) -> InvitePage:
        return await invites.list(user_of(address), query)

    async def revoke(command: RevokeInvite, address: Address) -> Done:
        return await invites.revoke(user_of(address), command)

    bus.serve(CREATE_INVITE, create)
    bus.serve(LIST_INVITES, list_invites)
    bus.serve(REVOKE_INVITE, revoke)
