"""What a ComfyUI node answers, read: bounded in size, in number of values, and in what its ids may be."""

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

import aiohttp

MAX_VALUES = 8_000_000  # of one answer: brackets and commas; each becomes up to 100 bytes of memory
MAX_RAW_ID = 256  # characters of a prompt's id; ComfyUI gives UUIDs, 0.3.64 takes any text
BESIDE_BYTES = 256 << 10  # a longer answer is decoded in a thread: 64 MB take half a second

FAILURES = (aiohttp.ClientError, TimeoutError, OSError, ValueError)
"""What aiohttp raises where a node goes away, or says what is no HTTP."""

_CLIENT_ID = re.compile(r"[A-Za-z0-9_.-]{1,200}")
_DIGITS = re.compile(r"[0-9]{1,18}")


class NodeAway(Exception):
    """The node did not answer in time, or not with what it should.

    Attributes:
        heard: the node may have got the request.
    """

    def __init__(self, reason: str, *, heard: bool = True) -> None:
        super().__init__(reason)
        self.heard = heard


class UnusableAnswer(NodeAway):
    """The node did answer, but with more than is read or with what cannot be read. Asking again gives the same.

    Attributes:
        too_large: it was more than is read.
        status: HTTP status of the answer.
    """

    def __init__(self, reason: str, *, too_large: bool = False, status: int = 200) -> None:
        super().__init__(reason)
        self.too_large, self.status = too_large, status


class HistoryEntry(NamedTuple):
    """What a node recorded of a prompt that ended; ``size_bytes`` of it as JSON."""

    content: dict[str, Any]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Queued:
    """A prompt in a node's queue. ``prompt_id`` and ``client_id`` are "" where they are none that this project gives.

    Attributes:
        raw_id: the prompt's id as the node has it, whoever gave it; "" where it is no text or a very long one.
    """

    prompt_id: str
    client_id: str
    running: bool
    raw_id: str = ""


async def read_bounded(response: aiohttp.ClientResponse, cap: int) -> bytes:
    """The body of an answer.

    Raises:
        UnusableAnswer: it is more than ``cap`` bytes.
    """
    parts, size = [], 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > cap:
            response.close()  # else aiohttp would read on, to use the connection again
            raise UnusableAnswer(
                f"{response.url.path} gave more than {cap} bytes", too_large=True, status=response.status
            )
    return b"".join(parts)


async def decode(text: bytes, status: int = 200) -> Any:
    """The value that an answer is.

    Raises:
        UnusableAnswer: it is no JSON, or has too many values.
    """
    if text.count(b",") + text.count(b"[") + text.count(b"{") > MAX_VALUES:
        raise UnusableAnswer("the node's answer has too many values", too_large=True, status=status)
    try:
        # Python's own decoder takes the NaN that ComfyUI writes.
        return json.loads(text) if len(text) < BESIDE_BYTES else await asyncio.to_thread(json.loads, text)
    except (ValueError, RecursionError) as error:  # also an integer of thousands of digits
        raise UnusableAnswer("the node's answer is no JSON", status=status) from error


async def decode_object(text: bytes, status: int = 200) -> dict[str, Any]:
    """The object that an answer is.

    Raises:
        UnusableAnswer: it is none.
    """
    value = await decode(text, status)
    if not isinstance(value, dict):
        raise UnusableAnswer("the node's answer is no object", status=status)
    return value


def list_of(value: Any) -> list[Any]:
    """The value where it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def read_queued(item: Any, *, running: bool) -> Queued:
    """One item of a queue: ``[number, prompt_id, prompt, extra_data, outputs]``; anything else is somebody else's."""
    parts = [*list_of(item)[:4], *[None] * 4][:4]
    extra = parts[3] if isinstance(parts[3], dict) else {}
    client_id = extra.get("client_id")
    ours = isinstance(client_id, str) and _CLIENT_ID.fullmatch(client_id) is not None
    raw_id = parts[1] if isinstance(parts[1], str) and len(parts[1]) <= MAX_RAW_ID else ""
    return Queued(raw_id if _is_prompt_id(raw_id) else "", str(client_id) if ours else "", running, raw_id)


def _is_prompt_id(value: Any) -> bool:
    """Whether this is an id as we give them: it becomes part of paths, and is kept in the journal."""
    try:
        return isinstance(value, str) and len(value) == 36 and str(UUID(value)) == value
    except ValueError:
        return False


def content_length_of(content_length: str) -> int | None:
    """The number in a Content-Length header, None where it is none."""
    return int(content_length) if _DIGITS.fullmatch(content_length) else None
