"""Account erasure, and the records that other services need for it."""

from auth.consumers.request_user import parse_user_id
from auth.usecases.erase_account import AccountEraser
from auth.usecases.read_erasures import ErasureReader
from chassis.messaging.bus import Bus
from contracts.auth.erasure import (
    ERASE_ACCOUNT,
    ERASE_USER,
    READ_ERASURES,
    EraseAccount,
    EraseUser,
    Erasures,
    ReadErasures,
)
from contracts.auth.fields import Done
from contracts.wire.topic import Address


def register(bus: Bus, *, eraser: AccountEraser, reader: ErasureReader) -> None:
    async def erase_account(command: EraseAccount, address: Address) -> Done:
        return await eraser.erase_own_account(parse_user_id(address), command)

    async def erase_user(command: EraseUser, address: Address) -> Done:
        return await eraser.erase_account_of_user(parse_user_id(address), command)

    async def read_erasures(query: ReadErasures, _: Address) -> Erasures:
        return await reader.read_erasures(query)

    bus.serve(ERASE_ACCOUNT, erase_account)
    bus.serve(ERASE_USER, erase_user)
    bus.serve(READ_ERASURES, read_erasures)
