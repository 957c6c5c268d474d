"""API key requests of their owners."""

from auth.consumers.request_user import parse_user_id
from auth.usecases.create_key import KeyCreator
from auth.usecases.list_keys import KeyLister
from auth.usecases.revoke_key import KeyRevoker
from chassis.messaging.bus import Bus
from contracts.auth.fields import Done
from contracts.auth.keys import CREATE_KEY, LIST_KEYS, REVOKE_KEY, CreatedKey, CreateKey, Keys, ListKeys, RevokeKey
from contracts.wire.topic import Address


def register(bus: Bus, *, creator: KeyCreator, lister: KeyLister, revoker: KeyRevoker) -> None:
    async def create_key(command: CreateKey, address: Address) -> CreatedKey:
        return await creator.create_key(parse_user_id(address), command)

    async def list_keys(_: ListKeys, address: Address) -> Keys:
        return await lister.list_keys(parse_user_id(address))

    async def revoke_key(command: RevokeKey, address: Address) -> Done:
        return await revoker.revoke_key(parse_user_id(address), command)

    bus.serve(CREATE_KEY, create_key)
    bus.serve(LIST_KEYS, list_keys)
    bus.serve(REVOKE_KEY, revoke_key)
