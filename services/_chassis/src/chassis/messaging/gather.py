"""Requests to one subject that come at the same time share a message (decision record 0020).

A message that holds several has the header ``Gathered``: for each, in order, the length of its part of the data and a
word, the request id on the way there and the status on the way back. A part is what it would be as a message alone.

Only a topic that declares ``gathers`` looks at the header, and no other system can reach such a topic.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextvars import Context
from typing import Any, NamedTuple

from nats.aio.msg import Msg

from chassis.ids import is_request_id

HEADER = "Gathered"
AT_MOST = 64  # parts in a message
AT_MOST_BYTES = 1 << 20  # in a message of several
MAX_DIGITS = 8  # of a length; a message has 16 MB at most
MAX_HEADER = AT_MOST * (MAX_DIGITS + 1 + 64 + 1)  # characters: each part has a length, a colon, a word and a space
PATIENCE_S = 0.001  # nobody waits longer for the answer to somebody else; more would make all wait for all

Send = Callable[[str, bytes, dict[str, str] | None, float], Awaitable[Msg]]


class Part(NamedTuple):
    """A request or a reply within a message. The word has no space and may be empty."""

    body: bytes
    word: str


def pack(parts: Sequence[Part]) -> tuple[bytes, dict[str, str]]:
    """The data and the header of a message."""
    lengths = " ".join(f"{len(part.body)}:{part.word}" for part in parts)
    return b"".join([part.body for part in parts]), {HEADER: lengths}


def unpack(data: bytes, headers: Mapping[str, str]) -> list[Part]:
    """The parts of a message, 1 to ``AT_MOST``.

    Raises:
        ValueError: the header has another form, or its lengths are not those of the data.
    """
    header = headers.get(HEADER, "")
    if len(header) > MAX_HEADER:
        raise ValueError(f"{HEADER} has more than {MAX_HEADER} characters")
    entries = header.split(" ")
    if len(entries) > AT_MOST:
        raise ValueError(f"{HEADER} has more than {AT_MOST} parts")
    parts, begin = [], 0
    for entry in entries:
        digits, colon, word = entry.partition(":")
        if not (colon and digits.isascii() and digits.isdigit() and len(digits) <= MAX_DIGITS):
            raise ValueError(f"{HEADER} has an invalid length")
        if word and not is_request_id(word):
            raise ValueError(f"{HEADER} has an invalid word")
        end = begin + int(digits)
        parts.append(Part(data[begin:end], word))
        begin = end
    if begin != len(data):
        raise ValueError(f"{HEADER} names {begin} bytes, the message has {len(data)}")
    return parts


class _Waiting(NamedTuple):
    part: Part
    until: float  # of the loop's clock
    reply: asyncio.Future[Part]


class Gatherer:
    """Who finds nobody on the way to a subject is sent at once; who comes until the reply is there goes with the next.

    Args:
        send: sends a message and gives back its reply within so many seconds, or raises.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._lanes: dict[str, deque[_Waiting]] = {}  # one that is there has a task at work
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, subject: str, part: Part, within_s: float) -> Part:
        """The reply to one request within so many seconds; raises what became of the message that it was in."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(part, loop.time() + within_s, loop.create_future())
        lane = self._lanes.get(subject)
        if lane is None:
            lane = self._lanes[subject] = deque()
            self._start(self._work(subject, lane))
        lane.append(waiting)
        return await waiting.reply

    async def _work(self, subject: str, lane: deque[_Waiting]) -> None:
        while lane:
            await asyncio.wait({self._start(self._exchange(subject, _next(lane)))}, timeout=PATIENCE_S)
        del self._lanes[subject]

    async def _exchange(self, subject: str, group: list[_Waiting]) -> None:
        try:
            data, headers = pack([waiting.part for waiting in group])
            left_s = group[0].until - asyncio.get_running_loop().time()  # the others' ends hardly later
            reply = await self._send(subject, data, headers, left_s)
            replies = unpack(reply.data, reply.headers or {})
            told = [(waiting.reply, part) for waiting, part in zip(group, replies, strict=True)]
        except Exception as error:  # noqa: BLE001 - each of them raises it where it was asked
            for waiting in group:
                if not waiting.reply.done():
                    waiting.reply.set_exception(error)
            return
        for asked, part in told:
            if not asked.done():  # else who asked waits no more
                asked.set_result(part)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, context=Context())  # for several: none may lend it its name in the log
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _next(lane: deque[_Waiting]) -> list[_Waiting]:
    """The first that wait and fit into a message; the very first fits."""
    group = [lane.popleft()]
    size = len(group[0].part.body)
    while lane and len(group) < AT_MOST and size + len(lane[0].part.body) <= AT_MOST_BYTES:
        group.append(lane.popleft())
        size += len(group[-1].part.body)
    return group
