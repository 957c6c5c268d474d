"""Registration, login, logout and passwords."""

from auth.consumers.request_user import parse_user_id
from auth.usecases.change_password import PasswordChanger
from auth.usecases.end_session import SessionEnder
from auth.usecases.open_session import SessionOpener
from auth.usecases.record_denial import DenialRecorder
from auth.usecases.refresh_session import SessionRefresher
from auth.usecases.register import Registrar
from auth.usecases.sign_tokens import AccessTokenSigner
from chassis.messaging.bus import Bus
from contracts.auth.accounts import CHANGE_PASSWORD, REGISTER, ChangePassword, Register, User
from contracts.auth.audit import RECORD_DENIAL, RecordDenial
from contracts.auth.credentials import READ_KEYSET, Keyset, ReadKeyset
from contracts.auth.fields import Done
from contracts.auth.sessions import (
    END_SESSION,
    OPEN_SESSION,
    REFRESH_SESSION,
    EndSession,
    OpenSession,
    RefreshSession,
    Session,
)
from contracts.wire.topic import Address


def register_accounts(bus: Bus, *, registrar: Registrar, passwords: PasswordChanger, denials: DenialRecorder) -> None:
    async def register(command: Register, _: Address) -> User:
        return await registrar.register(command)

    async def change_password(command: ChangePassword, address: Address) -> Done:
        return await passwords.change_password(parse_user_id(address), command)

    async def record_denial(command: RecordDenial, address: Address) -> Done:
        return await denials.record_denial(parse_user_id(address), command)

    bus.serve(REGISTER, register)
    bus.serve(CHANGE_PASSWORD, change_password)
    bus.serve(RECORD_DENIAL, record_denial)


def register_sessions(
    bus: Bus, *, opener: SessionOpener, refresher: SessionRefresher, ender: SessionEnder, signer: AccessTokenSigner
) -> None:
    async def open_session(command: OpenSession, _: Address) -> Session:
        return await opener.open_session(command)

    async def refresh_session(command: RefreshSession, _: Address) -> Session:
        return await refresher.refresh_session(command)

    async def end_session(command: EndSession, address: Address) -> Done:
        return await ender.end_session(parse_user_id(address), command)

    async def read_keyset(_: ReadKeyset, __: Address) -> Keyset:
        return await signer.read_keyset()

    bus.serve(OPEN_SESSION, open_session)
    bus.serve(REFRESH_SESSION, refresh_session)
    bus.serve(END_SESSION, end_session)
    bus.serve(READ_KEYSET, read_keyset)
