"""Invite requests. The acting admin is the user in the subject."""

from auth.consumers.request_user import parse_user_id
from auth.usecases.manage_invites import InviteService
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


def register(bus: Bus, *, invites: InviteService) -> None:
    async def create_invite(command: CreateInvite, address: Address) -> CreatedInvite:
        return await invites.create_invite(parse_user_id(address), command)

    async def list_invites(query: ListInvites, address: Address) -> InvitePage:
        return await invites.list_invites(parse_user_id(address), query)

    async def revoke_invite(command: RevokeInvite, address: Address) -> Done:
        return await invites.revoke_invite(parse_user_id(address), command)

    bus.serve(CREATE_INVITE, create_invite)
    bus.serve(LIST_INVITES, list_invites)
    bus.serve(REVOKE_INVITE, revoke_invite)
