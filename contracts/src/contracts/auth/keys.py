"""API keys."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from contracts.auth.credentials import Scope
from contracts.auth.fields import Done, Ip, KeyId, Secret
from contracts.auth.rpc import auth_rpc
from contracts.wire.errors import Kind, Refusal
from contracts.wire.model import StrictModel, TolerantModel
from contracts.wire.topic import Topic, Traffic

KeyName = Annotated[str, Field(min_length=1, max_length=100)]


class Key(TolerantModel):
    """An API key as it is listed. ``prefix`` is how it begins: enough to know it by, not to use it."""

    id: KeyId
    name: str
    prefix: str
    scopes: tuple[Scope, ...]
    expires_at: datetime | None
    created_at: datetime
    last_used_at: datetime | None = None


class CreatedKey(TolerantModel):
    """A fresh key, and its text this once. ``replayed``: an earlier request with this Idempotency-Key made it."""

    key: Key
    text: Secret
    replayed: bool = False


class CreateKey(StrictModel):
    """Make an API key for the user in the subject.

    Attributes:
        granted: the scopes of the credential that asks; a key gets no other.
        expires_at: None for the default life of a key.
        idempotency_key: the same one with the same request gives the same key for 24 hours.
    """

    name: KeyName
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1, max_length=len(Scope))]
    granted: tuple[Scope, ...]
    expires_at: datetime | None = None
    idempotency_key: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    ip: Ip | None = None


class ListKeys(StrictModel):
    """Ask for the keys that the user has, newest first, those that no longer work left out."""


class Keys(TolerantModel):
    """The keys of one user: all of them, there are at most a hundred."""

    keys: tuple[Key, ...]


class RevokeKey(StrictModel):
    """End a key. One that has ended is ended."""

    key_id: KeyId
    ip: Ip | None = None


class KeysUsed(TolerantModel):
    """When keys were last seen at a door, by id."""

    uses: dict[str, datetime]


class ScopeNotGranted(Refusal):
    """A key cannot have a scope that the credential that creates it lacks. Ask for fewer scopes."""

    kind, code = Kind.FORBIDDEN, "auth.scope.not_granted"


class UnknownKey(Refusal):
    """There is no such key. GET /api/v1/auth/keys lists your keys."""

    kind, code = Kind.NOT_FOUND, "auth.key.not_found"


class InvalidKey(Refusal):
    """The key cannot be created with these values. errors names each one and what is valid."""

    kind, code = Kind.INVALID, "auth.key.invalid"


class TooManyKeys(Refusal):
    """You have {limit} keys, which is the maximum. Revoke one first."""

    kind, code = Kind.CONFLICT, "auth.key.too_many"


class KeyRequestReused(Refusal):
    """This Idempotency-Key was used with another request body. Send a new one for a new key."""

    kind, code = Kind.INVALID, "auth.key.idempotency_reused"


CREATE_KEY = auth_rpc("key", "create", CreateKey, CreatedKey, "Create an API key.")
LIST_KEYS = auth_rpc("key", "list", ListKeys, Keys, "List the API keys of a user.")
REVOKE_KEY = auth_rpc("key", "revoke", RevokeKey, Done, "Revoke an API key.")
KEYS_USED = Topic(
    kind=Traffic.CMD,
    owner="auth",
    noun="keys",
    verb="used",
    payload=KeysUsed,
    description="API keys were used, with the time of the last use.",
    producers=("gateway", "notifier"),
    consumers=("auth",),
)

TOPICS = (CREATE_KEY, LIST_KEYS, REVOKE_KEY, KEYS_USED)
