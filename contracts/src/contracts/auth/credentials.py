"""Credentials: the user that an API key or access token belongs to, and its scopes."""

from datetime import datetime
from enum import StrEnum
from functools import cached_property
from uuid import UUID

from contracts.auth.accounts import Role
from contracts.auth.fields import Secret
from contracts.auth.rpc import declare_auth_rpc
from contracts.auth.tiers import Tier
from contracts.wire.errors import ErrorKind, Refusal
from contracts.wire.model import StrictModel, TolerantModel

ISSUER, AUDIENCE = "comfyfleet", "comfyfleet"


ALGORITHM, TOKEN_TYPE = "EdDSA", "at+jwt"  # the only supported algorithm; the access token type of RFC 9068


class Scope(StrEnum):
    """What a credential may be used for.

    A session has all scopes of its user's role. An API key has those that it was created with.
    """

    JOBS_READ = "jobs:read"  # read jobs, results, and the fleet's models and classes
    JOBS_WRITE = "jobs:write"  # submit and cancel jobs
    KEYS = "keys"  # create, list and revoke the user's keys
    ADMIN = "admin"  # manage users and limits; admins only


def list_scopes(role: Role) -> tuple[Scope, ...]:
    """Return all scopes that a user of this role has and can grant to its keys."""
    return tuple(scope for scope in Scope if scope is not Scope.ADMIN or role is Role.ADMIN)


class Principal(TolerantModel):
    """The user that a credential authenticates, with the credential's scopes.

    Attributes:
        requests_per_minute: effective limit of the user when auth answered.
        own_limits: whether ``requests_per_minute`` is the user's own limit and not its tier's.
        version: version of the user when auth answered; it grows with every change.
        key_id: id of an API key; None for an access token.
        session_id: session of an access token; None for an API key.
        expires_at: when the credential expires; None if it does not.
    """

    user_id: UUID
    username: str
    tier: Tier
    role: Role
    scopes: tuple[Scope, ...]
    requests_per_minute: int | None = None
    own_limits: bool = False
    version: int = 0
    key_id: str | None = None
    session_id: UUID | None = None
    expires_at: datetime | None = None

    @cached_property
    def tenant(self) -> str:
        """The user's id as subjects and object keys write it."""
        return str(self.user_id)


class Jwk(TolerantModel):
    """A public key that verifies access tokens (RFC 8037)."""

    kty: str = "OKP"
    crv: str = "Ed25519"
    use: str = "sig"
    alg: str = ALGORITHM
    kid: str
    x: str


class Keyset(TolerantModel):
    """All keys whose tokens can still be valid, and the next signing key."""

    keys: tuple[Jwk, ...]


class VerifyCredential(StrictModel):
    """Verify an API key and get its principal."""

    credential: Secret


class ReadKeyset(StrictModel):
    """Get the keys that verify access tokens."""


class InvalidCredential(Refusal):
    """The credential is missing, malformed, unknown, expired or revoked. Send a valid API key in X-API-Key."""

    kind, code = ErrorKind.UNAUTHENTICATED, "auth.credential.invalid"


class MissingScope(Refusal):
    """Your credential does not have the scope "{scope}". Use a key that has it, or ask the operator of this API."""

    kind, code = ErrorKind.FORBIDDEN, "auth.scope.missing"


VERIFY_CREDENTIAL = declare_auth_rpc(
    "credential",
    "verify",
    VerifyCredential,
    Principal,
    "Find the principal of an API key.",
    producers=("gateway", "notifier"),
    timeout_s=1.5,
)
READ_KEYSET = declare_auth_rpc(
    "keyset",
    "read",
    ReadKeyset,
    Keyset,
    "Read the public keys that verify access tokens.",
    producers=("gateway", "notifier"),
)

TOPICS = (VERIFY_CREDENTIAL, READ_KEYSET)
