"""API keys."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from contracts.auth.credentials import Scope
from contracts.auth.fields import Done, Ip, KeyId, Secret
from contracts.auth.rpc import declare_auth_rpc
from contracts.wire.errors import ErrorKind, Refusal
from contracts.wire.model import StrictModel, TolerantModel
from contracts.wire.topic import MessageKind, Topic

KeyName = Annotated[str, Field(min_length=1, max_length=100)]


class Key(TolerantModel):
    """An API key as lists show it. ``prefix`` is its first characters: enough to recognize it, not to use it."""

    id: KeyId
    name: str
    prefix: str
    scopes: tuple[Scope, ...]
    expires_at: datetime | None
    created_at: datetime
    last_used_at: datetime | None = None


class CreatedKey(TolerantModel):
    """A new key with its secret, which is returned only here.

    Attributes:
        replayed: an earlier request with the same idempotency key created it.
    """

    key: Key
    text: Secret
    replayed: bool = False


class CreateKey(StrictModel):
    """Create an API key for the user in the subject.

    Attributes:
        granted: scopes of the credential that makes the request; the key cannot have others.
        expires_at: None for the default lifetime of a key.
        idempotency_key: repeating the request with the same value within 24 hours returns the same key.
    """

    name: KeyName
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1, max_length=len(Scope))]
    granted: tuple[Scope, ...]
    expires_at: datetime | None = None
    idempotency_key: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    ip: Ip | None = None


class ListKeys(StrictModel):
    """List the user's keys, newest first, without expired and revoked ones."""


class Keys(TolerantModel):
    """All keys of one user, at most 100."""

    keys: tuple[Key, ...]


class RevokeKey(StrictModel):
    """Revoke a key. Idempotent."""

    key_id: KeyId
    ip: Ip | None = None


class KeysUsed(TolerantModel):
    """When each key, by id, was last used at a public service."""

    uses: dict[str, datetime]


class ScopeNotGranted(Refusal):
    """A new key can only have scopes that your own credential has. Ask for fewer scopes."""

    kind, code = ErrorKind.FORBIDDEN, "auth.scope.not_granted"


class UnknownKey(Refusal):
    """There is no such key. GET /api/v1/auth/keys lists your keys."""

    kind, code = ErrorKind.NOT_FOUND, "auth.key.not_found"


class InvalidKey(Refusal):
    """The key cannot be created with these values. See the field "errors" for each one and what is valid."""

    kind, code = ErrorKind.INVALID, "auth.key.invalid"


class TooManyKeys(Refusal):
    """You have {limit} keys, which is the maximum. Revoke one first."""

    kind, code = ErrorKind.CONFLICT, "auth.key.too_many"


class KeyRequestReused(Refusal):
    """This Idempotency-Key was used with another request body. Send a new Idempotency-Key to create another API key."""

    kind, code = ErrorKind.INVALID, "auth.key.idempotency_reused"


CREATE_KEY = declare_auth_rpc("key", "create", CreateKey, CreatedKey, "Create an API key.")
LIST_KEYS = declare_auth_rpc("key", "list", ListKeys, Keys, "List the API keys of a user.")
REVOKE_KEY = declare_auth_rpc("key", "revoke", RevokeKey, Done, "Revoke an API key.")
KEYS_USED = Topic(
    kind=MessageKind.CMD,
    owner="auth",
    noun="keys",
    verb="used",
    payload=KeysUsed,
    description="API keys were used, with the time of the last use.",
    producers=("gateway", "notifier"),
    consumers=("auth",),
)

TOPICS = (CREATE_KEY, LIST_KEYS, REVOKE_KEY, KEYS_USED)
