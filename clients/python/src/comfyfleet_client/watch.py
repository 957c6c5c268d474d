"""Watches jobs over a websocket and reconnects after a disconnect."""

import json
from collections.abc import Iterable
from random import random
from time import monotonic
from urllib.parse import urlencode

from comfyfleet_client import calls
from comfyfleet_client.call import segment
from comfyfleet_client.caller import Caller
from comfyfleet_client.errors import ComfyfleetError, StillRunning, Unauthenticated, Unreachable, api_error
from comfyfleet_client.events import JobEvent, Story, event_of, refusal_of
from comfyfleet_client.results import Job
from comfyfleet_client.steps import Closed, Connect, Emit, Flow, HandshakeRefused, Pause, Receive, Say

STEADY_S = 30.0  # seconds; a connection that lasted this long resets the failure count
AT_ONCE = 100  # jobs per socket, the service's maximum
_REFUSED = {"job.not_found": 404, "service.unavailable": 503}
_STATUS = {4400: 422, 4401: 401, 4403: 403, 4404: 404}


def watch(caller: Caller, job_id: str, *, after: int | None = None, timeout: float | None = None) -> Flow[None]:
    """Emit every event until the job ends.

    Args:
        caller: authenticates.
        job_id: of the job.
        after: also emit the states after this ``seq``; 0 for all.
        timeout: seconds in total.

    Raises:
        StillRunning: the timeout passed.
        ApiError: the job may not be watched (any more).
        Unreachable: too many connections in a row failed.
    """
    story, failed = Story(after), 0
    until = None if timeout is None else monotonic() + timeout
    while True:
        opened = monotonic()
        try:
            yield from caller.signed(None, lambda signature: _connected(caller, job_id, story, signature))
            while not story.ended:
                message = yield Receive(_left_s(until, job_id))
                event = event_of(message) if message is not None else None
                if event is not None and story.is_news(event):
                    failed = 0
                    yield Emit(event)
        except ComfyfleetError as failure:
            failed = 1 if monotonic() - opened >= STEADY_S else failed + 1
            pause_s = _pause_s(caller, failure, failed)
        else:
            return
        left_s = _left_s(until, job_id)
        yield Pause(pause_s if left_s is None else min(pause_s, left_s))


def watch_many(caller: Caller, job_ids: Iterable[str], *, timeout: float | None = None) -> Flow[None]:
    """Emit every event of these jobs over one socket until all have ended; in order per job.

    Args:
        caller: authenticates.
        job_ids: any number of jobs; ``AT_ONCE`` are watched at a time.
        timeout: seconds in total.

    Raises:
        StillRunning, ApiError, Unreachable: like ``watch``; one job that may not be watched ends all.
    """
    stories, failed = {job_id: Story() for job_id in job_ids}, 0
    until = None if timeout is None else monotonic() + timeout
    url = f"ws{caller.base_url.removeprefix('http')}/ws"
    while left := [job_id for job_id, story in stories.items() if not story.ended]:
        opened, known = monotonic(), _known_of(stories)
        try:
            yield from caller.signed(None, lambda signature: _opened(url, signature))
            yield from _follow(left, stories, until)
        except ComfyfleetError as failure:
            failed = 1 if monotonic() - opened >= STEADY_S or _known_of(stories) != known else failed + 1
            pause_s = _pause_s(caller, failure, failed)
            left_s = _left_s(until, left[0])
            yield Pause(pause_s if left_s is None else min(pause_s, left_s))


def ended(caller: Caller, job_id: str, *, timeout: float | None = None) -> Flow[Job]:
    """Return the job once it has ended. Raises like ``watch``."""
    yield from watch(caller, job_id, timeout=timeout)
    return (yield from caller.ask(calls.read_job(job_id)))


def _connected(caller: Caller, job_id: str, story: Story, signature: dict[str, str]) -> Flow[None]:
    query = "" if story.after is None else "?" + urlencode({"after": story.after})
    yield from _opened(f"ws{caller.base_url.removeprefix('http')}/ws/jobs/{segment(job_id)}{query}", signature)


def _follow(left: list[str], stories: dict[str, Story], until: float | None) -> Flow[None]:
    """Follow the remaining jobs over the open socket until all end."""
    for job_id in left[:AT_ONCE]:
        yield _subscription(job_id, stories[job_id])
    waiting = left[AT_ONCE:]
    while not all(story.ended for story in stories.values()):
        event = _told((yield Receive(_left_s(until, left[0]))))
        story = stories.get(event.job_id) if event is not None else None
        if event is None or story is None or not story.is_news(event):
            continue
        yield Emit(event)
        if story.ended and waiting:
            yield _subscription(waiting[0], stories[waiting.pop(0)])


def _known_of(stories: dict[str, Story]) -> list[tuple[int | None, bool]]:
    return [(story.after, story.ended) for story in stories.values()]


def _subscription(job_id: str, story: Story) -> Say:
    after = {} if story.after is None else {"after": story.after}
    return Say(json.dumps({"type": "subscribe", "job_id": job_id} | after))


def _told(message: str | bytes | None) -> JobEvent | None:
    """Return the event in a message, if any. Raises the refusal of a job."""
    if message is None:
        return None
    refusal = refusal_of(message)
    if refusal is not None:
        raise api_error(_REFUSED.get(refusal["code"], 422), {}, json.dumps(refusal).encode())
    return event_of(message)


def _opened(url: str, signature: dict[str, str]) -> Flow[None]:
    try:
        yield Connect(url, signature)
    except HandshakeRefused as refused:
        answer = refused.answer
        raise api_error(answer.status, answer.headers, answer.body) from None


def _pause_s(caller: Caller, failure: ComfyfleetError, failed: int) -> float:
    """Return the seconds until the next attempt. Raises the failure if it is permanent."""
    known = _known(failure)
    if failure is not known and isinstance(known, Unauthenticated) and caller.credentials.has_session:
        known = Unreachable("The session ended while its job was watched.")  # the next attempt refreshes the session
    pause_s = caller.retry.pause_s(known, failed, random())  # noqa: S311 - jitter
    if pause_s is None:
        raise known from None
    return pause_s


def _known(failure: ComfyfleetError) -> ComfyfleetError:
    """Translate a close code to an exception."""
    if not isinstance(failure, Closed):
        return failure
    if failure.code not in _STATUS:
        return Unreachable(f"The connection was closed ({failure}).")
    problem = {"code": failure.reason, "detail": f"The service ended the watching: {failure.reason or failure.code}."}
    return api_error(_STATUS[failure.code], {}, json.dumps(problem).encode())


def _left_s(until: float | None, job_id: str) -> float | None:
    if until is None:
        return None
    left_s = until - monotonic()
    if left_s <= 0:
        raise StillRunning(f"Job {job_id} has not ended in time; it goes on.")
    return left_s
