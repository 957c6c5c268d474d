"""Validation of requests for a new API key."""

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime, timedelta

from contracts.auth.accounts import Role
from contracts.auth.credentials import Scope, list_scopes
from contracts.auth.keys import CreateKey, InvalidKey, ScopeNotGranted
from contracts.wire.errors import FieldError

MAX_LIFETIME = timedelta(days=366)


def validate_name(command: CreateKey) -> str:
    """Return the key's name without surrounding white space.

    Raises:
        InvalidKey: the name is empty or contains unprintable characters.
    """
    name = command.name.strip()
    if not name:
        raise _build_invalid_key("/name", "name_empty", "Give the key a name.")
    if not name.isprintable():
        raise _build_invalid_key("/name", "name_unprintable", "Use printable characters only.")
    return name


def validate_scopes(command: CreateKey, role: Role) -> tuple[Scope, ...]:
    """Return the requested scopes without duplicates.

    Raises:
        ScopeNotGranted: the requesting credential or its user's role lacks one of them.
    """
    if not set(command.scopes) <= set(command.granted) & set(list_scopes(role)):
        raise ScopeNotGranted
    return _sort_scopes(command.scopes)


def validate_expiry(command: CreateKey, now: datetime, life: timedelta) -> datetime:
    """Return the expiry: the requested time, or ``now + life``.

    Raises:
        InvalidKey: the requested time is in the past, more than 366 days ahead, or has no time zone.
    """
    requested = command.expires_at
    if requested is None:
        return now + life
    if requested.tzinfo is None:
        raise _build_invalid_key("/expires_at", "expires_at_naive", "Add the offset from UTC to the time, or Z.")
    if not now < requested <= now + MAX_LIFETIME:
        message = f"Choose a time in the future, at most {MAX_LIFETIME.days} days from now."
        raise _build_invalid_key("/expires_at", "expires_at_range", message)
    return requested


def hash_request(command: CreateKey) -> bytes:
    """Return 32 bytes that are equal for two requests exactly when they request the same key."""
    expires = command.expires_at and command.expires_at.isoformat()
    requested = {"name": command.name.strip(), "scopes": _sort_scopes(command.scopes), "expires_at": expires}
    return hashlib.sha256(json.dumps(requested, sort_keys=True).encode()).digest()


def _sort_scopes(scopes: Iterable[Scope]) -> tuple[Scope, ...]:
    requested = set(scopes)
    return tuple(scope for scope in Scope if scope in requested)


def _build_invalid_key(pointer: str, code: str, message: str) -> InvalidKey:
    return InvalidKey(errors=(FieldError(pointer=pointer, code=code, message=message),))
