"""Login, login links, sessions, and the keys that verify access tokens."""

from auth.consumers.request_user import parse_user_id
from auth.usecases.end_session import SessionEnder
from auth.usecases.list_sessions import SessionLister
from auth.usecases.manage_login_links import LoginLinkCreator, LoginLinkRedeemer
from auth.usecases.open_session import SessionOpener
from auth.usecases.refresh_session import SessionRefresher
from auth.usecases.sign_tokens import AccessTokenSigner
from chassis.messaging.bus import Bus
from contracts.auth.credentials import READ_KEYSET, Keyset, ReadKeyset
from contracts.auth.fields import Done
from contracts.auth.login_links import (
    CREATE_LOGIN_LINK,
    REDEEM_LOGIN_LINK,
    CreatedLoginLink,
    CreateLoginLink,
    RedeemLoginLink,
)
from contracts.auth.sessions import (
    END_SESSION,
    LIST_SESSIONS,
    OPEN_SESSION,
    REFRESH_SESSION,
    REVOKE_SESSION,
    EndSession,
    ListSessions,
    OpenSession,
    RefreshSession,
    RevokeSession,
    Sessions,
    SessionTokens,
)
from contracts.wire.topic import Address


def register_login_links(bus: Bus, *, creator: LoginLinkCreator, redeemer: LoginLinkRedeemer) -> None:
    async def create_login_link(command: CreateLoginLink, address: Address) -> CreatedLoginLink:
        return await creator.create_for_admin(parse_user_id(address), command)

    async def redeem_login_link(command: RedeemLoginLink, _: Address) -> SessionTokens:
        return await redeemer.redeem_login_link(command)

    bus.serve(CREATE_LOGIN_LINK, create_login_link)
    bus.serve(REDEEM_LOGIN_LINK, redeem_login_link)


def register_sessions(
    bus: Bus,
    *,
    opener: SessionOpener,
    refresher: SessionRefresher,
    ender: SessionEnder,
    lister: SessionLister,
    signer: AccessTokenSigner,
) -> None:
    async def open_session(command: OpenSession, _: Address) -> SessionTokens:
        return await opener.open_session(command)

    async def refresh_session(command: RefreshSession, _: Address) -> SessionTokens:
        return await refresher.refresh_session(command)

    async def end_session(command: EndSession, address: Address) -> Done:
        return await ender.end_session(parse_user_id(address), command)

    async def revoke_session(command: RevokeSession, address: Address) -> Done:
        return await ender.revoke_session(parse_user_id(address), command)

    async def list_sessions(query: ListSessions, address: Address) -> Sessions:
        return await lister.list_sessions(parse_user_id(address), query)

    async def read_keyset(_: ReadKeyset, __: Address) -> Keyset:
        return await signer.read_keyset()

    bus.serve(OPEN_SESSION, open_session)
    bus.serve(REFRESH_SESSION, refresh_session)
    bus.serve(END_SESSION, end_session)
    bus.serve(REVOKE_SESSION, revoke_session)
    bus.serve(LIST_SESSIONS, list_sessions)
    bus.serve(READ_KEYSET, read_keyset)
