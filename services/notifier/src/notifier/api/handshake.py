"""Authenticates WebSocket handshakes. A refusal comes before the socket opens if possible, else as a close code.

Servers send their credential as a header. Browsers cannot, so they open the socket with a ticket in its URL or first
send ``{"type": "auth", "key": "…"}`` (``"token"`` instead of ``"key"`` for an access token).
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import ceil
from uuid import UUID

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from authn.authenticator import Authenticator
from authn.client_address import ClientAddressResolver, find_rate_limit_group
from authn.credentials import CREDENTIAL_PATTERN, read_credentials
from chassis.http.app import ProblemResponse, build_problem_body
from contracts.auth.credentials import InvalidCredential, MissingScope, Principal, Scope
from contracts.scheduler.jobs import UnknownJob
from contracts.wire.errors import ErrorKind, RefusalDetails
from notifier.domain.errors import InvalidResumePosition, SubprotocolNotSupported
from notifier.domain.messages import MAX_SEQ
from notifier.usecases.limit_handshakes import HandshakeLimiter
from notifier.usecases.redeem_tickets import TicketRedeemer

CLOSE_CODE_BY_KIND = {
    ErrorKind.UNAUTHENTICATED: 4401,
    ErrorKind.NOT_FOUND: 4404,
    ErrorKind.INVALID: 4400,
    ErrorKind.UNAVAILABLE: 1013,
}
DEFAULT_CLOSE_CODE = 4403
CREDENTIAL_FIELDS = {"key", "token"}
FORBIDDEN_QUERY_NAMES = ("key", "token", "api_key", "access_token")  # URLs end up in logs and histories


class WebSocketAuthenticator:
    """Authenticates and limits WebSocket handshakes.

    Args:
        addresses: determines client addresses.
        handshakes: limits handshakes per address.
        wait_s: how long a client may take to send its credential, seconds.
    """

    def __init__(
        self,
        identity: Authenticator,
        tickets: TicketRedeemer,
        *,
        addresses: ClientAddressResolver,
        handshakes: HandshakeLimiter,
        wait_s: float,
    ) -> None:
        self._identity, self._tickets, self._wait_s = identity, tickets, wait_s
        self._addresses, self._handshakes = addresses, handshakes

    @asynccontextmanager
    async def authenticate(self, socket: WebSocket) -> AsyncIterator[tuple[Principal, asyncio.Event]]:
        """Return the principal of a socket, and an event that is set when its credential ends.

        A socket without a credential in its handshake is opened first.

        Raises:
            TooManyHandshakes: the client's address opens too many connections; nothing else was checked.
            InvalidCredential: missing, malformed, ambiguous or invalid.
            InvalidTicket: the ticket is invalid or belongs to another origin.
            MissingScope: the credential may not read jobs.
            SubprotocolNotSupported: the client requests a subprotocol.
            Unavailable: auth does not answer.
            WebSocketDisconnect: the client disconnected.
        """
        peer = socket.client.host if socket.client else None
        self._handshakes.count_handshake(
            find_rate_limit_group(self._addresses.resolve(peer, socket.headers.getlist("x-forwarded-for")))
        )
        if socket.headers.getlist("sec-websocket-protocol"):
            raise SubprotocolNotSupported
        principal = await self._find_principal(socket)
        socket.state.user_id = principal.tenant
        if Scope.JOBS_READ not in principal.scopes:
            raise MissingScope(scope=Scope.JOBS_READ.value)
        with self._identity.watch_credential(principal) as credential_ended:
            if credential_ended.is_set():
                raise InvalidCredential
            yield principal, credential_ended

    async def ensure_open(self, socket: WebSocket) -> None:
        """Open the socket unless it is open."""
        if socket.application_state is WebSocketState.CONNECTING:
            await socket.accept()

    async def _find_principal(self, socket: WebSocket) -> Principal:
        query = socket.query_params
        if any(name in query for name in FORBIDDEN_QUERY_NAMES):
            raise InvalidCredential
        match read_credentials(socket.headers), query.getlist("ticket"):
            case [], []:
                await socket.accept()
                return await self._identity.authenticate(await _receive_credential(socket, self._wait_s))
            case [str(credential)], []:
                return await self._identity.authenticate(credential)
            case [], [ticket]:
                return await self._tickets.redeem_ticket(ticket, socket.headers.getlist("origin"))
            case _:
                raise InvalidCredential


def parse_job_id(text: str) -> UUID:
    """Return the job id in the path.

    Raises:
        UnknownJob: the text is not a UUID in its canonical form.
    """
    try:
        job_id = UUID(text)
    except ValueError:
        raise UnknownJob from None
    if str(job_id) != text:
        raise UnknownJob
    return job_id


def parse_after(socket: WebSocket) -> int | None:
    """Return the value of ``?after=``; None if the URL does not have it.

    Raises:
        InvalidResumePosition: the value is not the number of an event.
    """
    values = socket.query_params.getlist("after")
    if not values:
        return None
    if len(values) > 1 or not re.fullmatch(r"[0-9]{1,10}", values[0]) or int(values[0]) > MAX_SEQ:
        raise InvalidResumePosition
    return int(values[0])


async def refuse_socket(socket: WebSocket, refused: RefusalDetails) -> None:
    """Refuse the handshake with a problem document, or close the socket if it is already open."""
    if socket.application_state is WebSocketState.CONNECTING:
        body = build_problem_body(refused, socket.state.request_id, socket.url.path)
        headers = {}
        if refused.kind in {ErrorKind.UNAVAILABLE, ErrorKind.LIMITED}:
            headers["Retry-After"] = str(max(1, ceil(refused.retry_after_s or 1)))
        elif refused.kind is ErrorKind.UNAUTHENTICATED:
            headers["WWW-Authenticate"] = 'Bearer realm="comfyfleet"'
        await socket.send_denial_response(ProblemResponse(body, status_code=body["status"], headers=headers))
    else:
        await socket.close(CLOSE_CODE_BY_KIND.get(refused.kind, DEFAULT_CLOSE_CODE), refused.code)


async def _receive_credential(socket: WebSocket, wait_s: float) -> str:
    try:
        async with asyncio.timeout(wait_s):
            message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        credential_message = json.loads(message.get("text") or "")
    except (TimeoutError, ValueError, RecursionError):
        raise InvalidCredential from None
    if (
        not isinstance(credential_message, dict)
        or credential_message.get("type") != "auth"
        or len(CREDENTIAL_FIELDS & credential_message.keys()) != 1
    ):
        raise InvalidCredential
    credential = credential_message.get("key", credential_message.get("token"))
    if not isinstance(credential, str) or not CREDENTIAL_PATTERN.fullmatch(credential):
        raise InvalidCredential
    return credential
