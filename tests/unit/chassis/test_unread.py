"""All writes of one event loop iteration are sent together, without loss."""

import asyncio
from typing import Any, cast

from chassis.http.writing import JOINED_BYTES, Joined


class Wire:
    """A transport that records its calls."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.ended: list[str] = []

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def write_eof(self) -> None:
        self.ended.append("eof")

    def close(self) -> None:
        self.ended.append("closed")

    def abort(self) -> None:
        self.ended.append("aborted")

    def is_closing(self) -> bool:
        return bool({"closed", "aborted"} & set(self.ended))

    def get_write_buffer_size(self) -> int:
        return 1000


def joined(wire: Any) -> Joined:
    return Joined(cast("asyncio.Transport", wire), asyncio.get_running_loop())


async def test_head_and_body_are_one_piece_and_the_next_answer_is_another() -> None:
    wire = Wire()
    transport = joined(wire)
    transport.write(b"head")
    transport.write(b"body")
    assert (wire.sent, transport.get_write_buffer_size()) == ([], 1008)
    await asyncio.sleep(0)
    assert (wire.sent, transport.get_write_buffer_size()) == ([b"headbody"], 1000)
    transport.write(b"next")
    await asyncio.sleep(0)
    assert wire.sent == [b"headbody", b"next"]


async def test_who_writes_on_and_on_is_not_kept_from_hearing_that_nobody_reads() -> None:
    wire = Wire()
    transport = joined(wire)
    transport.write(b"head")
    transport.write(bytes(JOINED_BYTES))
    assert wire.sent == [b"head" + bytes(JOINED_BYTES)]
    transport.write(b"more")
    await asyncio.sleep(0)
    assert wire.sent[1:] == [b"more"]


async def test_what_was_written_goes_out_before_the_end() -> None:
    for end in ("write_eof", "close"):
        wire = Wire()
        transport = joined(wire)
        transport.write(b"last")
        getattr(transport, end)()
        assert (wire.sent, len(wire.ended)) == ([b"last"], 1)
        await asyncio.sleep(0)
        assert wire.sent == [b"last"]


async def test_nothing_is_written_to_a_connection_that_was_cut() -> None:
    wire = Wire()
    transport = joined(wire)
    transport.write(b"too late")
    transport.abort()
    await asyncio.sleep(0)
    assert (wire.sent, wire.ended) == ([], ["aborted"])
