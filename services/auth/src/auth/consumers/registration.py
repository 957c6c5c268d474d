"""Invite requests. The acting admin is the user in the subject."""

from auth.consumers.subject import user_of
from auth.usecases.invites import Invites
from chassis.messaging.bus import Bus
from contracts.auth.fields import Done
from contracts.auth.invites import (
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
    async def create(command: CreateInvite, address: Address) -> CreatedInvite:
        return await invites.create(user_of(address), command)

    async def list_invites(query: ListInvites, address: Address) -> InvitePage:
        return await invites.list(user_of(address), query)

    async def revoke(command: RevokeInvite, address: Address) -> Done:
        return await invites.revoke(user_of(address), command)

    bus.serve(CREATE_INVITE, create)
    bus.serve(LIST_INVITES, list_invites)
    bus.serve(REVOKE_INVITE, revoke)
