"""Watches jobs over a websocket and reconnects after a disconnect."""

import json
from collections.abc import Iterable
from random import random
from time import monotonic
from urllib.parse import urlencode

from comfyfleet_client import calls
from comfyfleet_client.call import quote_segment
from comfyfleet_client.caller import Caller
from comfyfleet_client.errors import (
    ComfyfleetError,
    JobStillRunning,
    ServerUnreachable,
    Unauthenticated,
    build_api_error,
)
from comfyfleet_client.events import EventFilter, JobEvent, parse_event, parse_refusal
from comfyfleet_client.results import Job
from comfyfleet_client.steps import (
    EmitValue,
    Flow,
    HandshakeRefused,
    OpenWebSocket,
    Pause,
    Receive,
    SendText,
    WebSocketClosed,
)

STABLE_CONNECTION_S = 30.0  # seconds; a connection that lasted this long resets the failure count
MAX_JOBS_PER_SOCKET = 100  # jobs per socket, the service's maximum
_STATUS_BY_CODE = {"job.not_found": 404, "service.unavailable": 503}
_STATUS_BY_CLOSE_CODE = {4400: 422, 4401: 401, 4403: 403, 4404: 404}


def watch(caller: Caller, job_id: str, *, after: int | None = None, timeout: float | None = None) -> Flow[None]:
    """Emit every event until the job ends.

    Args:
        caller: provides the URL, the credentials and the retry policy.
        job_id: id of the job.
        after: also emit the states after this ``seq``; 0 for all.
        timeout: seconds in total.

    Raises:
        JobStillRunning: the timeout passed.
        ApiError: the API refuses to watch the job, or stops because the credential has lost the right to.
        ServerUnreachable: too many connections in a row failed.
    """
    event_filter, failed = EventFilter(after), 0
    deadline = None if timeout is None else monotonic() + timeout
    while True:
        opened_at = monotonic()
        try:
            yield from caller.run_authenticated(
                None, lambda auth_headers: _connect_to_job(caller, job_id, event_filter, auth_headers)
            )
            while not event_filter.ended:
                message = yield Receive(_compute_remaining_s(deadline, job_id))
                event = parse_event(message) if message is not None else None
                if event is not None and event_filter.admit(event):
                    failed = 0
                    yield EmitValue(event)
        except ComfyfleetError as failure:
            failed = 1 if monotonic() - opened_at >= STABLE_CONNECTION_S else failed + 1
            delay_s = _compute_next_delay_s(caller, failure, failed)
        else:
            return
        remaining_s = _compute_remaining_s(deadline, job_id)
        yield Pause(delay_s if remaining_s is None else min(delay_s, remaining_s))


def watch_many(caller: Caller, job_ids: Iterable[str], *, timeout: float | None = None) -> Flow[None]:
    """Emit every event of these jobs over one socket until all have ended; in order per job.

    Args:
        caller: as in ``watch``.
        job_ids: any number of jobs; ``MAX_JOBS_PER_SOCKET`` are watched at a time.
        timeout: seconds in total.

    Raises:
        JobStillRunning, ApiError, ServerUnreachable: like ``watch``. An error of one job ends the watching of all.
    """
    filters, failed = {job_id: EventFilter() for job_id in job_ids}, 0
    deadline = None if timeout is None else monotonic() + timeout
    url = f"ws{caller.base_url.removeprefix('http')}/ws"
    while remaining := [job_id for job_id, event_filter in filters.items() if not event_filter.ended]:
        opened_at, positions = monotonic(), _list_positions(filters)
        try:
            yield from caller.run_authenticated(None, lambda auth_headers: _open_socket(url, auth_headers))
            yield from _watch_over_socket(remaining, filters, deadline)
        except ComfyfleetError as failure:
            has_progressed = monotonic() - opened_at >= STABLE_CONNECTION_S or _list_positions(filters) != positions
            failed = 1 if has_progressed else failed + 1
            delay_s = _compute_next_delay_s(caller, failure, failed)
            remaining_s = _compute_remaining_s(deadline, _find_first_unended(filters))
            yield Pause(delay_s if remaining_s is None else min(delay_s, remaining_s))


def wait_until_ended(caller: Caller, job_id: str, *, timeout: float | None = None) -> Flow[Job]:
    """Return the job once it has ended. Raises like ``watch``."""
    yield from watch(caller, job_id, timeout=timeout)
    return (yield from caller.execute(calls.read_job(job_id)))


def _connect_to_job(caller: Caller, job_id: str, event_filter: EventFilter, auth_headers: dict[str, str]) -> Flow[None]:
    query = "" if event_filter.after is None else "?" + urlencode({"after": event_filter.after})
    yield from _open_socket(
        f"ws{caller.base_url.removeprefix('http')}/ws/jobs/{quote_segment(job_id)}{query}", auth_headers
    )


def _watch_over_socket(remaining: list[str], filters: dict[str, EventFilter], deadline: float | None) -> Flow[None]:
    """Follow the remaining jobs over the open socket until all end."""
    for job_id in remaining[:MAX_JOBS_PER_SOCKET]:
        yield _build_subscribe_message(job_id, filters[job_id])
    waiting = remaining[MAX_JOBS_PER_SOCKET:]
    while not all(event_filter.ended for event_filter in filters.values()):
        event = _parse_message((yield Receive(_compute_remaining_s(deadline, _find_first_unended(filters)))))
        event_filter = filters.get(event.job_id) if event is not None else None
        if event is None or event_filter is None or not event_filter.admit(event):
            continue
        yield EmitValue(event)
        if event_filter.ended and waiting:
            yield _build_subscribe_message(waiting[0], filters[waiting.pop(0)])


def _list_positions(filters: dict[str, EventFilter]) -> list[tuple[int | None, bool]]:
    return [(event_filter.after, event_filter.ended) for event_filter in filters.values()]


def _find_first_unended(filters: dict[str, EventFilter]) -> str:
    return next((job_id for job_id, event_filter in filters.items() if not event_filter.ended), "")


def _build_subscribe_message(job_id: str, event_filter: EventFilter) -> SendText:
    after = {} if event_filter.after is None else {"after": event_filter.after}
    return SendText(json.dumps({"type": "subscribe", "job_id": job_id} | after))


def _parse_message(message: str | bytes | None) -> JobEvent | None:
    """Return the event in a message, if any. Raises the refusal of a job."""
    if message is None:
        return None
    refusal = parse_refusal(message)
    if refusal is not None:
        raise build_api_error(_STATUS_BY_CODE.get(refusal["code"], 422), {}, json.dumps(refusal).encode())
    return parse_event(message)


def _open_socket(url: str, auth_headers: dict[str, str]) -> Flow[None]:
    try:
        yield OpenWebSocket(url, auth_headers)
    except HandshakeRefused as refused:
        response = refused.response
        raise build_api_error(response.status, response.headers, response.body) from None


def _compute_next_delay_s(caller: Caller, failure: ComfyfleetError, failed: int) -> float:
    """Return the seconds until the next attempt. Raises the failure if it is permanent."""
    cause = _to_api_failure(failure)
    if failure is not cause and isinstance(cause, Unauthenticated) and caller.credentials.has_session:
        # The next attempt refreshes the session.
        cause = ServerUnreachable("The session expired while the job was watched.")
    delay_s = caller.retry.compute_next_delay_s(cause, failed, random())  # noqa: S311 - jitter
    if delay_s is None:
        raise cause from None
    return delay_s


def _to_api_failure(failure: ComfyfleetError) -> ComfyfleetError:
    """Translate a close code to an exception."""
    if not isinstance(failure, WebSocketClosed):
        return failure
    if failure.code not in _STATUS_BY_CLOSE_CODE:
        return ServerUnreachable(f"The connection was closed ({failure}).")
    problem = {
        "code": failure.reason,
        "detail": f"The service closed the event stream: {failure.reason or failure.code}.",
    }
    return build_api_error(_STATUS_BY_CLOSE_CODE[failure.code], {}, json.dumps(problem).encode())


def _compute_remaining_s(deadline: float | None, job_id: str) -> float | None:
    if deadline is None:
        return None
    remaining_s = deadline - monotonic()
    if remaining_s <= 0:
        raise JobStillRunning(f"Job {job_id} has not ended in time. It continues.")
    return remaining_s
