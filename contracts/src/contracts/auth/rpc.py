"""Declares the requests that auth answers."""

from typing import TypeVar

from pydantic import BaseModel

from contracts.wire.topic import MessageKind, Rpc

P = TypeVar("P", bound=BaseModel)
R = TypeVar("R", bound=BaseModel)

PASSWORD_HASH_TIMEOUT_S = 4.0  # for requests that hash a password, which may wait for a free hashing thread


def declare_auth_rpc(
    noun: str,
    verb: str,
    payload: type[P],
    reply: type[R],
    description: str,
    *,
    producers: tuple[str, ...] = ("gateway",),
    timeout_s: float = 2.0,
) -> Rpc[P, R]:
    return Rpc(
        kind=MessageKind.RPC,
        owner="auth",
        noun=noun,
        verb=verb,
        payload=payload,
        reply=reply,
        description=description,
        producers=producers,
        consumers=("auth",),
        timeout_s=timeout_s,
    )
