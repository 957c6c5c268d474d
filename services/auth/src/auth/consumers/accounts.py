"""Registration and password changes."""

from auth.consumers.request_user import parse_user_id
from auth.usecases.change_password import PasswordChanger
from auth.usecases.register import Registrar
from chassis.messaging.bus import Bus
from contracts.auth.accounts import CHANGE_PASSWORD, REGISTER, ChangePassword, Register, User
from contracts.auth.fields import Done
from contracts.wire.topic import Address


def register(bus: Bus, *, registrar: Registrar, password_changer: PasswordChanger) -> None:
    async def register_user(command: Register, _: Address) -> User:
        return await registrar.register(command)

    async def change_password(command: ChangePassword, address: Address) -> Done:
        return await password_changer.change_password(parse_user_id(address), command)

    bus.serve(REGISTER, register_user)
    bus.serve(CHANGE_PASSWORD, change_password)
