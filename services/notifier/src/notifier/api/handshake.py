"""Authenticates WebSocket handshakes. A refusal comes before the socket opens if possible, else as a close code.

Servers send their credential as a header. Browsers cannot, so they open the socket with a ticket in its URL or first
send ``{"type": "auth", "key": "…"}`` (``"token"`` instead of ``"key"`` for an access token).
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import ceil
from uuid import UUID

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from authn.client_address import ClientAddressResolver, rate_limit_group
from authn.credentials import VISIBLE, read_credentials
from authn.identity import Authenticator
from chassis.http.app import ProblemResponse, problem
from contracts.auth.credentials import InvalidCredential, MissingScope, Principal, Scope
from contracts.scheduler.jobs import UnknownJob
from contracts.wire.errors import Kind, Refused
from notifier.domain.errors import BadResume, NoSubprotocol
from notifier.domain.messages import MAX_SEQ
from notifier.usecases.handshakes import Handshakes
from notifier.usecases.tickets import Tickets

CLOSE_CODE = {Kind.UNAUTHENTICATED: 4401, Kind.NOT_FOUND: 4404, Kind.INVALID: 4400, Kind.UNAVAILABLE: 1013}
CLOSE_OTHER = 4403
CREDENTIALS = {"key", "token"}
NEVER_IN_A_URL = ("key", "token", "api_key", "access_token")  # URLs end up in logs and histories


class WebSocketAuthenticator:
    """Authenticates and limits WebSocket handshakes.

    Args:
        clients: determines client addresses.
        handshakes: limits them per address.
        wait_s: how long a client may take to send its credential, seconds.
    """

    def __init__(
        self,
        identity: Authenticator,
        tickets: Tickets,
        *,
        clients: ClientAddressResolver,
        handshakes: Handshakes,
        wait_s: float,
    ) -> None:
        self._identity, self._tickets, self._wait_s = identity, tickets, wait_s
        self._clients, self._handshakes = clients, handshakes

    @asynccontextmanager
    async def admitted(self, socket: WebSocket) -> AsyncIterator[tuple[Principal, asyncio.Event]]:
        """Return the principal of a socket, and an event that is set when its credential ends.

        A socket without a credential in its handshake is opened first.

        Raises:
            TooManyHandshakes: its address opens too many; nothing else was checked.
            InvalidCredential: missing, malformed, ambiguous or invalid.
            InvalidTicket: the ticket is invalid or belongs to another origin.
            MissingScope: the credential may not read jobs.
            NoSubprotocol: the client requests a subprotocol.
            Unavailable: auth does not answer.
            WebSocketDisconnect: the client disconnected.
        """
        peer = socket.client.host if socket.client else None
        self._handshakes.count(rate_limit_group(self._clients.of(peer, socket.headers.getlist("x-forwarded-for"))))
        if socket.headers.getlist("sec-websocket-protocol"):
            raise NoSubprotocol
        principal = await self._principal(socket)
        if Scope.JOBS_READ not in principal.scopes:
            raise MissingScope(scope=Scope.JOBS_READ.value)
        with self._identity.watching(principal) as ended:
            if ended.is_set():
                raise InvalidCredential
            yield principal, ended

    async def open(self, socket: WebSocket) -> None:
        """Open the socket unless it is open."""
        if socket.application_state is WebSocketState.CONNECTING:
            await socket.accept()

    async def _principal(self, socket: WebSocket) -> Principal:
        sent = socket.query_params
        if any(name in sent for name in NEVER_IN_A_URL):
            raise InvalidCredential
        match read_credentials(socket.headers), sent.getlist("ticket"):
            case [], []:
                await socket.accept()
                return await self._identity.principal(await _first_message(socket, self._wait_s))
            case [str(credential)], []:
                return await self._identity.principal(credential)
            case [], [ticket]:
                return await self._tickets.spend(ticket, socket.headers.getlist("origin"))
            case _:
                raise InvalidCredential


def job_id_of(text: str) -> UUID:
    """Return the job id in the path; a malformed one is answered like an unknown one."""
    try:
        job_id = UUID(text)
    except ValueError:
        raise UnknownJob from None
    if str(job_id) != text:
        raise UnknownJob
    return job_id


def resume_after(socket: WebSocket) -> int | None:
    """Return ``?after=``, None without it.

    Raises:
        BadResume: it is not the number of an event.
    """
    sent = socket.query_params.getlist("after")
    if not sent:
        return None
    if len(sent) > 1 or not (sent[0].isascii() and sent[0].isdigit()) or len(sent[0]) > 10 or int(sent[0]) > MAX_SEQ:
        raise BadResume
    return int(sent[0])


async def refuse(socket: WebSocket, refused: Refused) -> None:
    """Refuse the socket in the way its state allows."""
    if socket.application_state is WebSocketState.CONNECTING:
        body = problem(refused, socket.state.request_id, socket.url.path)
        headers = {}
        if refused.kind in {Kind.UNAVAILABLE, Kind.LIMITED}:
            headers["Retry-After"] = str(max(1, ceil(refused.retry_after_s or 1)))
        elif refused.kind is Kind.UNAUTHENTICATED:
            headers["WWW-Authenticate"] = 'Bearer realm="comfyfleet"'
        await socket.send_denial_response(ProblemResponse(body, status_code=body["status"], headers=headers))
    else:
        await socket.close(CLOSE_CODE.get(refused.kind, CLOSE_OTHER), refused.code)


async def _first_message(socket: WebSocket, wait_s: float) -> str:
    try:
        async with asyncio.timeout(wait_s):
            message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        said = json.loads(message.get("text") or "")
    except (TimeoutError, ValueError, RecursionError):
        raise InvalidCredential from None
    if not isinstance(said, dict) or said.get("type") != "auth" or len(CREDENTIALS & said.keys()) != 1:
        raise InvalidCredential
    credential = said.get("key", said.get("token"))
    if not isinstance(credential, str) or not VISIBLE.fullmatch(credential):
        raise InvalidCredential
    return credential
