"""Declares the requests that the scheduler answers."""

from typing import TypeVar

from pydantic import BaseModel

from contracts.wire.topic import MessageKind, Rpc

P = TypeVar("P", bound=BaseModel)
R = TypeVar("R", bound=BaseModel)


def declare_scheduler_rpc(
    noun: str,
    verb: str,
    payload: type[P],
    reply: type[R],
    description: str,
    *,
    producers: tuple[str, ...] = ("gateway",),
    key: str | None = None,
    timeout_s: float = 5.0,
) -> Rpc[P, R]:
    return Rpc(
        kind=MessageKind.RPC,
        owner="scheduler",
        noun=noun,
        verb=verb,
        payload=payload,
        reply=reply,
        description=description,
        producers=producers,
        consumers=("scheduler",),
        key=key,
        timeout_s=timeout_s,
    )
