"""Cursors of lists: opaque, and valid only for the tenant and the filters that they were made for."""

from typing import Any
from uuid import UUID

from gateway.api.v1.errors import BadCursor
from gateway.signing import signed_text
from gateway.signing.keys import SigningKeys


def encode_position(keys: SigningKeys, position: list[str | int], *, tenant: str, filters: str) -> str:
    """Return a cursor that continues after a position that consists of several values."""
    return signed_text.sign(keys, _build_signing_purpose(tenant, filters), position)


def decode_position(keys: SigningKeys, cursor: str, *, tenant: str, filters: str) -> list[Any]:
    """Return the position in a cursor of ``encode_position``.

    Raises:
        BadCursor: the cursor was tampered with, or made for another tenant or filter.
    """
    position: list[Any] | None = signed_text.verify(keys, _build_signing_purpose(tenant, filters), cursor)
    if position is None:
        raise BadCursor
    return position


def encode(keys: SigningKeys, *, tenant: str, filters: str, before: UUID) -> str:
    """Return a cursor that continues after ``before``.

    ``filters`` is any text that is the same for the same filters.
    """
    return signed_text.sign(keys, _build_signing_purpose(tenant, filters), before.hex)


def decode(keys: SigningKeys, cursor: str, *, tenant: str, filters: str) -> UUID:
    """Return the id after which the list continues.

    Raises:
        BadCursor: the cursor was tampered with, or made for another tenant or filter.
    """
    before = signed_text.verify(keys, _build_signing_purpose(tenant, filters), cursor)
    if before is None:
        raise BadCursor
    return UUID(before)


def _build_signing_purpose(tenant: str, filters: str) -> str:
    return "\x00".join(("cursor", tenant, filters))
