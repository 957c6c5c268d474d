"""API key requests of their owners."""

from auth.consumers.subject import user_of
from auth.usecases.create_key import KeyMaker
from auth.usecases.list_keys import KeyLister
from auth.usecases.revoke_key import KeyRevoker
from chassis.messaging.bus import Bus
from contracts.auth.fields import Done
from contracts.auth.keys import CREATE_KEY, LIST_KEYS, REVOKE_KEY, CreatedKey, CreateKey, Keys, ListKeys, RevokeKey
from contracts.wire.topic import Address


def register(bus: Bus, *, maker: KeyMaker, lister: KeyLister, revoker: KeyRevoker) -> None:
    async def create(command: CreateKey, address: Address) -> CreatedKey:
        return await maker.create(user_of(address), command)

    async def list_keys(_: ListKeys, address: Address) -> Keys:
        return await lister.list(user_of(address))

    async def revoke(command: RevokeKey, address: Address) -> Done:
        return await revoker.revoke(user_of(address), command)

    bus.serve(CREATE_KEY, create)
    bus.serve(LIST_KEYS, list_keys)
    bus.serve(REVOKE_KEY, revoke)
