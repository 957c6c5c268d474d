"""Parses responses of a ComfyUI node, bounded in size and number of values."""

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

import aiohttp

MAX_VALUES = 8_000_000  # brackets and commas of a response; each costs up to 100 bytes of memory
MAX_RAW_ID = 256  # characters of a prompt id; ComfyUI assigns UUIDs, but 0.3.64 accepts any string
THREAD_PARSE_BYTES = 256 << 10  # bytes; larger responses are parsed in a thread: 64 MB take half a second

TRANSPORT_ERRORS = (aiohttp.ClientError, TimeoutError, OSError, ValueError)
"""Exceptions of aiohttp for a node that disconnects or sends invalid HTTP."""

_CLIENT_ID = re.compile(r"[A-Za-z0-9_.-]{1,200}")
_DIGITS = re.compile(r"[0-9]{1,18}")


class NodeUnavailable(Exception):
    """The node did not answer in time, or answered with an error.

    Attributes:
        may_have_arrived: whether the node may have received the request.
    """

    def __init__(self, reason: str, *, may_have_arrived: bool = True) -> None:
        super().__init__(reason)
        self.may_have_arrived = may_have_arrived


class UnreadableResponse(NodeUnavailable):
    """The node responded, but the response is too large or malformed. A repeated request would fail as well.

    Attributes:
        too_large: whether the response exceeded its limit.
        status: HTTP status of the response.
    """

    def __init__(self, reason: str, *, too_large: bool = False, status: int = 200) -> None:
        super().__init__(reason)
        self.too_large, self.status = too_large, status


class HistoryEntry(NamedTuple):
    """A node's record of a finished prompt; ``size_bytes`` is its size as JSON."""

    content: dict[str, Any]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class QueuedPrompt:
    """A prompt in a node's queue. ``prompt_id`` and ``client_id`` are "" unless they have this project's format.

    Attributes:
        raw_id: the prompt's id as the node reports it, also of a foreign prompt; "" if it is not a string or is too
            long.
    """

    prompt_id: str
    client_id: str
    running: bool
    raw_id: str = ""


async def read_body(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """Return the body of a response.

    Raises:
        UnreadableResponse: the body exceeds ``max_bytes`` bytes.
    """
    parts, size = [], 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > max_bytes:
            response.close()  # otherwise aiohttp reads on to reuse the connection
            raise UnreadableResponse(
                f"{response.url.path} returned more than {max_bytes} bytes", too_large=True, status=response.status
            )
    return b"".join(parts)


async def parse_json(body: bytes, status: int = 200) -> Any:
    """Parse JSON.

    Raises:
        UnreadableResponse: malformed, or too many values.
    """
    if body.count(b",") + body.count(b"[") + body.count(b"{") > MAX_VALUES:
        raise UnreadableResponse("the node's response has too many values", too_large=True, status=status)
    try:
        # Python's decoder accepts the NaN that ComfyUI writes.
        return json.loads(body) if len(body) < THREAD_PARSE_BYTES else await asyncio.to_thread(json.loads, body)
    except (ValueError, RecursionError) as error:  # also raised for an integer of thousands of digits
        raise UnreadableResponse("the node's response is not JSON", status=status) from error


async def parse_json_object(body: bytes, status: int = 200) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        UnreadableResponse: malformed, or not an object.
    """
    value = await parse_json(body, status)
    if not isinstance(value, dict):
        raise UnreadableResponse("the node's response is not a JSON object", status=status)
    return value


def list_or_empty(value: Any) -> list[Any]:
    """Return the value if it is a list, else an empty list."""
    return value if isinstance(value, list) else []


def parse_queue_item(item: Any, *, running: bool) -> QueuedPrompt:
    """Parse a queue item ``[number, prompt_id, prompt, extra_data, outputs]``; any other shape is a foreign prompt."""
    parts = [*list_or_empty(item)[:4], *[None] * 4][:4]
    extra = parts[3] if isinstance(parts[3], dict) else {}
    client_id = extra.get("client_id")
    ours = isinstance(client_id, str) and _CLIENT_ID.fullmatch(client_id) is not None
    raw_id = parts[1] if isinstance(parts[1], str) and len(parts[1]) <= MAX_RAW_ID else ""
    return QueuedPrompt(raw_id if _is_prompt_id(raw_id) else "", str(client_id) if ours else "", running, raw_id)


def _is_prompt_id(value: Any) -> bool:
    """Whether this has the format of our prompt ids. They become parts of paths and are stored in the journal."""
    try:
        return isinstance(value, str) and len(value) == 36 and str(UUID(value)) == value
    except ValueError:
        return False


def parse_content_length(content_length: str) -> int | None:
    """Return the number in a Content-Length header; None if there is no such header."""
    return int(content_length) if _DIGITS.fullmatch(content_length) else None
