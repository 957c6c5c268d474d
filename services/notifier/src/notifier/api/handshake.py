"""Who opens a socket, what for, and how a socket is refused: before it opens where that can be, by a close code after.

Servers send their credential as a header. Browsers cannot, and first send ``{"type": "auth", "key": "…"}``, or
``"token"`` in place of ``"key"`` for an access token.
"""

import asyncio
import json
from uuid import UUID

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from chassis.web import ProblemResponse, problem
from contracts.auth import BadCredential, MissingScope, Principal, Scope
from contracts.scheduler import UnknownJob
from contracts.wire.errors import Kind, Refused
from door.credential import VISIBLE, presented
from door.identity import Identity
from notifier.domain.errors import BadResume

MAX_SEQ = 2**31 - 1

CLOSE_CODE = {Kind.UNAUTHENTICATED: 4401, Kind.NOT_FOUND: 4404, Kind.INVALID: 4400, Kind.UNAVAILABLE: 1013}
CLOSE_OTHER = 4403
TRY_AGAIN = 1013
CREDENTIALS = {"key", "token"}


async def viewer_of(socket: WebSocket, identity: Identity, wait_s: float) -> Principal:
    """Whom a socket belongs to. It is accepted first if it sent no credential in its headers.

    Raises:
        BadCredential: none in time, malformed, several, or not valid.
        MissingScope: the credential is not good for reading jobs.
        Unavailable: auth does not answer.
        WebSocketDisconnect: it went away.
    """
    match presented(socket.headers):
        case []:
            await socket.accept()
            credential = await _first_message(socket, wait_s)
        case [str(credential)]:
            pass
        case _:
            raise BadCredential
    principal = await identity.principal(credential)
    if Scope.JOBS_READ not in principal.scopes:
        raise MissingScope(scope=Scope.JOBS_READ.value)
    return principal


def job_id_of(text: str) -> UUID:
    """The id in the path; a malformed one is answered like one that nobody has."""
    try:
        job_id = UUID(text)
    except ValueError:
        raise UnknownJob from None
    if str(job_id) != text:
        raise UnknownJob
    return job_id


def resume_after(socket: WebSocket) -> int | None:
    """The ``?after=`` of a socket, None if it has none.

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
    """Tell why, in the way that the socket's state allows."""
    if socket.application_state is WebSocketState.CONNECTING:
        body = problem(refused, socket.state.request_id, socket.url.path)
        headers = {"Retry-After": str(max(1, round(refused.retry_after_s or 1)))}
        if refused.kind is not Kind.UNAVAILABLE:
            headers = {"WWW-Authenticate": 'Bearer realm="comfyfleet"'} if body["status"] == 401 else {}
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
        raise BadCredential from None
    if not isinstance(said, dict) or said.get("type") != "auth" or len(CREDENTIALS & said.keys()) != 1:
        raise BadCredential
    credential = said.get("key", said.get("token"))
    if not isinstance(credential, str) or not VISIBLE.fullmatch(credential):
        raise BadCredential
    return credential
