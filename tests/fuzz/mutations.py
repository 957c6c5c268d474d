"""Seeded mutations of a node's responses: of JSON, of bytes, and of the transfer."""

import json
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from tests.kit.hostile_node import Reply

MAX_RESPONSE_BYTES = 2_000_000  # maximum bytes of a response that the executor under test reads
HUGE = "\x01huge\x01"  # placeholder for an integer that Python's json does not write
RECURSION = 900

TEXTS = (
    "", "\x00", "a\x00b", "\ud800", "caf\udce9.png", "\x1b[31m", "\u202e", "../../etc/passwd", "/etc/passwd",
    "C:\\secret", "x" * 100_000, "a." * 50_000, "'/" * 20_000, "comfyfleet.node-1.x",
    "NaN", "%00", "\U0001f602",
)  # fmt: skip
NUMBERS = (0, -1, 2**31, 2**63, 2**64, 10**300, -(10**300), 0.5, float("nan"), float("inf"), float("-inf"), HUGE)


def choose_hostile_value(random: Random) -> Any:
    """Return an unexpected value."""
    kind = random.randrange(8)
    if kind < 3:
        return random.choice(TEXTS)
    if kind < 5:
        return random.choice(NUMBERS)
    if kind == 5:
        nested: Any = 1
        for _ in range(random.choice((5, 50, RECURSION))):
            nested = [nested] if random.random() < 0.5 else {"a": nested}
        return nested
    return random.choice((None, True, [], {}, [[]], [None], {"": ""}, [{}] * 1_000))


def change_json(value: Any, random: Random) -> Any:
    """Return the value with one to three changes at random places."""
    for _ in range(random.randint(1, 3)):
        places = _list_positions(value)
        if not places:
            return choose_hostile_value(random)
        holder, key = random.choice(places)
        _change(holder, key, random)
    return value


def write_json(value: Any, random: Random) -> bytes:
    """Encode JSON, sometimes with a duplicate key."""
    text = json.dumps(value, ensure_ascii=random.random() < 0.7).replace(json.dumps(HUGE), "9" * 5_000)
    if text.startswith("{") and len(text) > 2 and random.random() < 0.1:
        text = text[:-1] + "," + text[1:]
    return text.encode("utf-8", "surrogatepass")


def change_reply(reply: Reply, random: Random) -> Reply:
    """Return a mutated response."""
    if random.random() < 0.6:
        try:
            body = write_json(change_json(json.loads(reply.body), random), random)
        except (ValueError, RecursionError):
            pass
        else:
            return replace(reply, body=body)
    return random.choice(BYTE_CHANGES)(reply, random)


def change_frame(frame: str, random: Random) -> list[str | bytes]:
    """Return the frames to send instead of one."""
    kind = random.randrange(10)
    if kind < 5:
        simple: tuple[list[str | bytes], ...] = (
            [],
            [frame] * 50,
            [random.randbytes(random.choice((0, 1, 4, 100, 10_000)))],
            [frame[: random.randrange(len(frame) + 1)]],
            ["[" * 5_000, frame],
        )
        return simple[kind]
    try:
        return [write_json(change_json(json.loads(frame), random), random).decode("utf-8", "replace")]
    except (ValueError, RecursionError):
        return ["\x00", frame]


def _list_positions(value: Any) -> list[tuple[Any, Any]]:
    places: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting and len(places) < 2_000:
        one = waiting.pop()
        keys: Any = one.keys() if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        places += [(one, key) for key in keys]
        waiting += [one[key] for key in keys]
    return places


def _change(holder: Any, key: Any, random: Random) -> None:
    kind = random.randrange(6)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[random.choice(TEXTS)] = holder.pop(key)
    elif kind == 2 and isinstance(holder, list):
        holder.extend([holder[key]] * random.choice((1, 100, 10_000)))
    else:
        holder[key] = choose_hostile_value(random)


def _truncate(reply: Reply, random: Random) -> Reply:
    return replace(reply, body=reply.body[: random.randrange(len(reply.body) + 1)])


def _flip_bits(reply: Reply, random: Random) -> Reply:
    body = bytearray(reply.body)
    for _ in range(min(len(body), random.randint(1, 20))):
        body[random.randrange(len(body))] = random.randrange(256)
    return replace(reply, body=bytes(body))


def _insert_nul(reply: Reply, random: Random) -> Reply:
    place = random.randrange(len(reply.body) + 1)
    return replace(reply, body=reply.body[:place] + b"\x00" * random.choice((1, 1_000)) + reply.body[place:])


def _replace_by_garbage(_: Reply, random: Random) -> Reply:
    return Reply(
        random.choice((b"", b"null", b"[]", b"{}", b"5", b'"x"', b"<html>", random.randbytes(1_000), b"[" * 100_000))
    )


def _enlarge(reply: Reply, random: Random) -> Reply:
    return replace(reply, body=b'{"a": "' + b"x" * random.randint(MAX_RESPONSE_BYTES, 2 * MAX_RESPONSE_BYTES) + b'"}')


def _change_status(reply: Reply, random: Random) -> Reply:
    status = random.choice((201, 204, 302, 307, 400, 404, 413, 416, 429, 500, 502, 503))
    return replace(reply, status=status, headers={"Location": "http://127.0.0.1:1/"} if status in {302, 307} else {})


def _lie_about_length(reply: Reply, random: Random) -> Reply:
    lies = ("text/html", "application/octet-stream; charset=\udce9", "x" * 5_000, "")
    return replace(reply, headers={"Content-Type": random.choice(lies).encode("utf-8", "replace").decode()})


def _cut_connection(reply: Reply, random: Random) -> Reply:
    return replace(_truncate(reply, random), cut=True)


def _repeat_endlessly(reply: Reply, _: Random) -> Reply:
    return replace(reply, body=(reply.body or b" ") * (1 + 65_536 // (len(reply.body) or 1)), endless=True)


def _send_slowly(reply: Reply, _: Random) -> Reply:
    return replace(reply, body=reply.body[:200], drip_s=0.05)


BYTE_CHANGES: tuple[Callable[[Reply, Random], Reply], ...] = (
    *(_truncate, _flip_bits, _insert_nul, _replace_by_garbage, _change_status, _lie_about_length, _cut_connection) * 4,
    *(_enlarge,) * 2, _repeat_endlessly, _send_slowly,
)  # fmt: skip
