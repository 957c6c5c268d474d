"""Credentials: whom an API key or an access token belongs to, and what it may be used for."""

from datetime import datetime
from enum import StrEnum
from functools import cached_property
from uuid import UUID

from contracts.auth.accounts import Role
from contracts.auth.fields import Secret
from contracts.auth.rpc import auth_rpc
from contracts.auth.tiers import Tier
from contracts.wire.errors import Kind, Refusal
from contracts.wire.model import StrictModel, TolerantModel

ISSUER, AUDIENCE = "comfyfleet", "comfyfleet"


ALGORITHM, TOKEN_TYPE = "EdDSA", "at+jwt"  # the only algorithm there is; RFC 9068's type of an access token


class Scope(StrEnum):
    """What a credential may be used for. A session has all that its user's role has; a key what it was made with."""

    JOBS_READ = "jobs:read"  # jobs, results, what the fleet can run
    JOBS_WRITE = "jobs:write"  # submit, cancel
    KEYS = "keys"  # make, list and revoke the user's keys
    ADMIN = "admin"  # everybody's users and limits; admins only


def scopes_of(role: Role) -> tuple[Scope, ...]:
    """All that a user of this role may do, and may let a key do."""
    return tuple(scope for scope in Scope if scope is not Scope.ADMIN or role is Role.ADMIN)


class Principal(TolerantModel):
    """Who a credential belongs to, and what it is good for.

    Attributes:
        requests_per_minute: of its user, as it was when auth said so.
        own_limits: whether that is the user's own, rather than its tier's.
        version: of its user when auth said so; it grows with every change.
        key_id: of an API key; None for a session's access token.
        session_id: of an access token; None for an API key.
        expires_at: when the credential ends by itself, if ever.
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
        """Its user, as subjects and keys name it."""
        return str(self.user_id)


class Jwk(TolerantModel):
    """A public key that access tokens are verified with (RFC 8037)."""

    kty: str = "OKP"
    crv: str = "Ed25519"
    use: str = "sig"
    alg: str = ALGORITHM
    kid: str
    x: str


class Keyset(TolerantModel):
    """The keys that may have signed a token that is still valid, and the next one."""

    keys: tuple[Jwk, ...]


class VerifyCredential(StrictModel):
    """Ask who an API key belongs to."""

    credential: Secret


class ReadKeyset(StrictModel):
    """Ask for the keys that access tokens are verified with."""


class InvalidCredential(Refusal):
    """The credential is missing, malformed, unknown, expired or revoked. Send a valid API key in X-API-Key."""

    kind, code = Kind.UNAUTHENTICATED, "auth.credential.invalid"


class MissingScope(Refusal):
    """Your credential lacks the scope {scope}. Use a key that has it."""

    kind, code = Kind.FORBIDDEN, "auth.scope.missing"


VERIFY_CREDENTIAL = auth_rpc(
    "credential",
    "verify",
    VerifyCredential,
    Principal,
    "Find the principal of an API key.",
    producers=("gateway", "notifier"),
    timeout_s=1.5,
)
READ_KEYSET = auth_rpc(
    "keyset",
    "read",
    ReadKeyset,
    Keyset,
    "Read the public keys that verify access tokens.",
    producers=("gateway", "notifier"),
)

TOPICS = (VERIFY_CREDENTIAL, READ_KEYSET)
