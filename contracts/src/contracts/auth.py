"""Words that auth owns: tenants, tiers, principals, sessions, keys.

What a person proves themselves with is a ``Secret``: it shows as stars wherever a model is printed or logged, and is
plain only in the message itself, which no stream stores.
"""

from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal, Self, TypeVar
from uuid import UUID

from pydantic import (
    BaseModel,
    Field,
    PlainSerializer,
    SecretStr,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from contracts.graph_policy.policy import ClassName, ClassRules, GraphPolicy, OperatorRules, PackName
from contracts.wire.errors import Kind, Refusal
from contracts.wire.model import Command, Fact
from contracts.wire.topic import Rpc, Topic, Traffic

P = TypeVar("P", bound=BaseModel)
R = TypeVar("R", bound=BaseModel)

Secret = Annotated[
    SecretStr,
    Field(min_length=1, max_length=1024),
    PlainSerializer(lambda secret: secret.get_secret_value(), return_type=str, when_used="json"),
]
Ip = Annotated[str, Field(max_length=45)]
KeyId = Annotated[str, Field(min_length=1, max_length=64)]
KeyName = Annotated[str, Field(min_length=1, max_length=100)]

Origin = Annotated[str, Field(min_length=1, max_length=255)]

TICKET_S = 30.0  # from the answer that carries it to the handshake of the socket
PASSWORD_MAX = 256  # characters, and at most 1,024 bytes of UTF-8

ISSUER, AUDIENCE = "comfyfleet", "comfyfleet"
ALGORITHM, TOKEN_TYPE = "EdDSA", "at+jwt"  # the only algorithm there is; RFC 9068's type of an access token


class Tier(StrEnum):
    """What a tenant pays for. Limits hang on it; a single user may be given own ones."""

    FREE = "free"
    BASIC = "basic"
    PRO = "pro"
    ENTERPRISE = "enterprise"


class Role(StrEnum):
    """What a user is to the system."""

    USER = "user"
    ADMIN = "admin"


class Scope(StrEnum):
    """What a credential may be used for. A session has all that its user's role has; a key what it was made with."""

    JOBS_READ = "jobs:read"  # jobs, results, what the fleet can run
    JOBS_WRITE = "jobs:write"  # submit, cancel
    KEYS = "keys"  # make, list and revoke the user's keys
    ADMIN = "admin"  # everybody's users and limits; admins only


def scopes_of(role: Role) -> tuple[Scope, ...]:
    """All that a user of this role may do, and may let a key do."""
    return tuple(scope for scope in Scope if scope is not Scope.ADMIN or role is Role.ADMIN)


class Limits(Fact):
    """What a tenant may use. None means no limit.

    Attributes:
        images_per_day: images made in one UTC day.
        max_running: jobs that run at the same time.
        queue_cap: jobs that wait at the same time.
        weight: share of the fleet against other tenants, > 0.
        requests_per_minute: HTTP requests of each endpoint class.
        result_days: how long an ended job is kept with all that it made, days from its end.
        upload_days: how long an upload is kept that no job uses, days.
        graph_policy: which node classes a graph may use.
        graph_nodes: nodes of one graph.
        graph_text_bytes: text in one graph, UTF-8 bytes, after values were passed along its links.
        graph_pixels: pixels of one image times the images or frames of its batch.
        graph_steps: sampling steps of one sampler.
        graph_pixel_steps: pixels times batch times steps, summed over the samplers of a graph.
        run_seconds: how long one attempt may take, seconds; a job may ask for less.
        gpu_seconds_per_day: GPU-seconds used in one UTC day; a job that would begin after that is refused.
        result_bytes: outputs stored at the same time, bytes; a job that would add to more is refused.
        upload_bytes: one uploaded file that is kept as it is, bytes; images have a limit of the gateway's.
    """

    images_per_day: int | None
    max_running: int | None
    queue_cap: int | None
    weight: float = Field(gt=0)
    requests_per_minute: int | None
    result_days: int | None = None
    upload_days: int | None = None
    graph_policy: GraphPolicy = GraphPolicy.STRICT
    graph_nodes: int | None = None
    graph_text_bytes: int | None = None
    graph_pixels: int | None = None
    graph_steps: int | None = None
    graph_pixel_steps: int | None = None
    run_seconds: float | None = None
    gpu_seconds_per_day: float | None = None
    result_bytes: int | None = None
    upload_bytes: int | None = None


Cap = Annotated[int, Field(ge=0, le=2**31 - 1)]
Days = Annotated[int, Field(ge=1, le=36_500)]
LargeCap = Annotated[int, Field(ge=1, le=2**53)]  # larger integers are not exact in every JSON reader


class SomeLimits(Command):
    """Limits by name: null means none, one that is not named is not meant. Only what is named travels."""

    images_per_day: Cap | None = None
    max_running: Cap | None = None
    queue_cap: Cap | None = None
    weight: Annotated[float, Field(gt=0, le=1000)] = 1.0
    requests_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    result_days: Days | None = None
    upload_days: Days | None = None
    graph_policy: GraphPolicy = GraphPolicy.STRICT
    graph_nodes: Annotated[int, Field(ge=1, le=2000)] | None = None
    graph_text_bytes: LargeCap | None = None
    graph_pixels: LargeCap | None = None
    graph_steps: Annotated[int, Field(ge=1, le=10_000)] | None = None
    graph_pixel_steps: LargeCap | None = None
    run_seconds: Annotated[float, Field(ge=1, le=7 * 86400)] | None = None
    gpu_seconds_per_day: Annotated[float, Field(ge=0, le=1e9)] | None = None
    result_bytes: LargeCap | None = None
    upload_bytes: LargeCap | None = None

    @model_serializer(mode="wrap")
    def _named(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in write(self).items() if name in self.model_fields_set}


class Tenant(Fact):
    """A tenant as the scheduler needs it.

    Attributes:
        quota_group: tenants of one group share one daily image quota; None where the tenant has its own.
    """

    tenant_id: UUID
    tier: Tier
    is_active: bool
    limits: Limits
    quota_group: UUID | None = None


class Principal(Fact):
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


class User(Fact):
    """An account as its owner and admins see it."""

    id: UUID
    username: str
    email: str
    tier: Tier
    role: Role
    is_active: bool
    created_at: datetime


class Account(Fact):
    """A user with the limits that hold for it, own ones over its tier's.

    Attributes:
        shares_quota: whether it shares its daily image quota with accounts that registered from the same address.
    """

    user: User
    limits: Limits
    own_limits: tuple[str, ...] = ()
    shares_quota: bool = False


class Session(Fact):
    """What a login or a refresh gives. ``expires_in``: life of the access token, seconds."""

    access_token: Secret
    refresh_token: Secret
    expires_in: int


class Key(Fact):
    """An API key as it is listed. ``prefix`` is how it begins: enough to know it by, not to use it."""

    id: KeyId
    name: str
    prefix: str
    scopes: tuple[Scope, ...]
    expires_at: datetime | None
    created_at: datetime
    last_used_at: datetime | None = None


class CreatedKey(Fact):
    """A fresh key, and its text this once. ``replayed``: an earlier request with this Idempotency-Key made it."""

    key: Key
    text: Secret
    replayed: bool = False


class TierLimits(Fact):
    """A tier and the limits of everybody in it who has no own ones."""

    tier: Tier
    limits: Limits


class UserChanged(Fact):
    """How a user stands after a change, and what the change ended.

    Attributes:
        version: of the user; what is told with a lower one is older.
        tokens_from: access tokens of a lower version are void.
        limits: that hold for it, whether its own or its tier's.
        ended_session: whose access tokens are void from now on.
        revoked_key: an API key that is void from now on.
        quota_group: as in ``Tenant``.
    """

    user_id: UUID
    version: int
    tokens_from: int
    is_active: bool
    tier: Tier
    role: Role
    limits: Limits
    own_limits: bool
    ended_session: UUID | None = None
    revoked_key: str | None = None
    quota_group: UUID | None = None
    at: datetime


class Jwk(Fact):
    """A public key that access tokens are verified with (RFC 8037)."""

    kty: str = "OKP"
    crv: str = "Ed25519"
    use: str = "sig"
    alg: str = ALGORITHM
    kid: str
    x: str


class Keyset(Fact):
    """The keys that may have signed a token that is still valid, and the next one."""

    keys: tuple[Jwk, ...]


class Changes(Fact):
    """What changed. ``now`` is the time by auth's database, from which to ask on."""

    now: datetime
    tiers: tuple[TierLimits, ...]
    users: tuple[UserChanged, ...]


class Done(Fact):
    """It is so now, whether by this request or before."""


class VerifyCredential(Command):
    """Ask who an API key belongs to."""

    credential: Secret


class ReadTenant(Command):
    """Ask for the limits of the tenant in the subject."""


class ReadAccount(Command):
    """Ask for the account of the tenant in the subject."""


class ReadKeyset(Command):
    """Ask for the keys that access tokens are verified with."""


class ReadChanges(Command):
    """Ask what changed since then; None for the life of an access token. Repeats are to be expected."""

    since: datetime | None = None


class Register(Command):
    """Make an account of tier ``free``, or of the tier of the invite."""

    username: Annotated[str, Field(min_length=1, max_length=256)]
    email: Annotated[str, Field(min_length=1, max_length=512)]
    password: Secret
    invite: Secret | None = None
    ip: Ip | None = None


class OpenSession(Command):
    """Log in. ``username`` may be the e-mail address."""

    username: Annotated[str, Field(min_length=1, max_length=512)]
    password: Secret
    ip: Ip | None = None


class RefreshSession(Command):
    """Exchange a refresh token for a new one and an access token."""

    refresh_token: Secret
    ip: Ip | None = None


class EndSession(Command):
    """Log out of a session, or of all of the user's where ``session_id`` is None."""

    session_id: UUID | None
    ip: Ip | None = None


class ChangePassword(Command):
    """Set a new password; every other session of the user ends."""

    current_password: Secret
    new_password: Secret
    session_id: UUID | None = None
    ip: Ip | None = None


class CreateKey(Command):
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


class ListKeys(Command):
    """Ask for the keys that the user has, newest first, those that no longer work left out."""


class Keys(Fact):
    """The keys of one user: all of them, there are at most a hundred."""

    keys: tuple[Key, ...]


class RevokeKey(Command):
    """End a key. One that has ended is ended."""

    key_id: KeyId
    ip: Ip | None = None


class ListUsers(Command):
    """Ask for users, newest first.

    Attributes:
        user_id: only this one.
        search: a part of username or address.
        before: an id, to go on from.
    """

    user_id: UUID | None = None
    search: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    tier: Tier | None = None
    role: Role | None = None
    is_active: bool | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    before: UUID | None = None


class UserPage(Fact):
    """One page of accounts."""

    accounts: tuple[Account, ...]
    more: bool


class ChangeUser(Command):
    """Change an account; what is None stays. ``limits`` replaces all own limits; a shared quota can only be ended."""

    user_id: UUID
    tier: Tier | None = None
    role: Role | None = None
    is_active: bool | None = None
    limits: SomeLimits | None = None
    shares_quota: Literal[False] | None = None
    ip: Ip | None = None


class ListTiers(Command):
    """Ask for every tier."""


class Tiers(Fact):
    """Every tier, smallest first."""

    tiers: tuple[TierLimits, ...]


class ChangeTier(Command):
    """Change some limits of a tier, for everybody in it who has no own ones."""

    tier: Tier
    limits: SomeLimits
    ip: Ip | None = None


class RuleVerdict(StrEnum):
    """What an operator decides about a class or a pack; ``DEFAULT`` removes the rule."""

    ALLOW = "allow"
    DENY = "deny"
    DEFAULT = "default"


class ReadClassRules(Command):
    """Ask for the rules about node classes that operators made."""


class ChangeClassRule(Command):
    """Make, change or remove the rule about one class or one pack; exactly one of the two is given."""

    class_name: ClassName | None = None
    pack: PackName | None = None
    verdict: RuleVerdict
    ip: Ip | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.class_name is None) == (self.pack is None):
            raise ValueError("Send exactly one of class_name and pack.")
        return self


class MakeTicket(Command):
    """Ask for a ticket that opens one websocket within ``TICKET_S`` for whoever has it, as this principal.

    Attributes:
        origin: of the pages that may use it, as browsers say it; None: it is for no page.
    """

    principal: Principal
    origin: Origin | None = None


class Ticket(Fact):
    """A ticket. ``expires_in``: what is left of its life, seconds."""

    text: Secret
    expires_in: float


class SpendTicket(Command):
    """Somebody presents a ticket. ``origin``: of the page that does, None where it is none."""

    ticket: Secret
    origin: Origin | None = None


class KeysUsed(Fact):
    """When keys were last seen at a door, by id."""

    uses: dict[str, datetime]


class RecordDenial(Command):
    """Somebody was told that they may not: for the audit log."""

    what: Annotated[str, Field(max_length=200)]
    code: Annotated[str, Field(max_length=100)]
    key_id: KeyId | None = None
    ip: Ip | None = None


class BadTicket(Refusal):
    """The ticket is unknown, used, expired, or of another web page. Create another: POST /api/v1/ws-tickets."""

    kind, code = Kind.UNAUTHENTICATED, "auth.ticket.invalid"


class BadCredential(Refusal):
    """The credential is missing, malformed, unknown, expired or revoked. Send a valid API key in X-API-Key."""

    kind, code = Kind.UNAUTHENTICATED, "auth.credential.invalid"


class UnknownTenant(Refusal):
    """This account does not exist or is deactivated. Ask an administrator."""

    kind, code = Kind.FORBIDDEN, "auth.tenant.unknown"


class MissingScope(Refusal):
    """Your credential lacks the scope {scope}. Use a key that has it. Only administrators can have the scope admin."""

    kind, code = Kind.FORBIDDEN, "auth.scope.missing"


class ScopeNotGranted(Refusal):
    """A key cannot have a scope that the credential that creates it lacks. Ask for fewer scopes."""

    kind, code = Kind.FORBIDDEN, "auth.scope.not_granted"


class BadLogin(Refusal):
    """Invalid username or password, or too many failed attempts. Wait and try again."""

    kind, code = Kind.UNAUTHENTICATED, "auth.login.failed"


class BadRefreshToken(Refusal):
    """The refresh token is invalid, expired or already used. Log in again."""

    kind, code = Kind.UNAUTHENTICATED, "auth.refresh.invalid"


class InvalidAccount(Refusal):
    """The account cannot be created with these values. errors names each one and what is valid."""

    kind, code = Kind.INVALID, "auth.account.invalid"


class AccountTaken(Refusal):
    """The username or the e-mail address is already in use. Choose another one, or log in."""

    kind, code = Kind.CONFLICT, "auth.account.taken"


class UnknownUser(Refusal):
    """There is no such user. GET /api/v1/admin/users lists all."""

    kind, code = Kind.NOT_FOUND, "auth.user.not_found"


class LastAdmin(Refusal):
    """This is the last active administrator. Give another user the role first."""

    kind, code = Kind.CONFLICT, "auth.user.last_admin"


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


class TooManyClassRules(Refusal):
    """There are {limit} class rules, which is the maximum. Remove some first, or allow or deny a whole pack."""

    kind, code = Kind.CONFLICT, "auth.class_rules.too_many"


class Busy(Refusal):
    """Too many logins are being processed at this moment. Try again after Retry-After."""

    kind, code = Kind.UNAVAILABLE, "auth.busy"


def _rpc(
    noun: str,
    verb: str,
    payload: type[P],
    reply: type[R],
    says: str,
    *,
    by: tuple[str, ...] = ("gateway",),
    s: float = 2,
) -> Rpc[P, R]:
    return Rpc(
        kind=Traffic.RPC, owner="auth", noun=noun, verb=verb, payload=payload, reply=reply, says=says,
        producers=by, consumers=("auth",), timeout_s=s,
    )  # fmt: skip


DOORS = ("gateway", "notifier")
HASH_S = 4.0  # a password may wait for its turn to be hashed

VERIFY_CREDENTIAL = _rpc("credential", "verify", VerifyCredential, Principal, "whose key is this", by=DOORS, s=1.5)
READ_KEYSET = _rpc("keyset", "read", ReadKeyset, Keyset, "what access tokens are verified with", by=DOORS)
READ_CHANGES = _rpc("changes", "read", ReadChanges, Changes, "what changed about users", by=DOORS)
READ_TENANT = _rpc("tenant", "read", ReadTenant, Tenant, "tier and limits of a tenant", by=("scheduler",))
READ_ACCOUNT = _rpc("account", "read", ReadAccount, Account, "an account and its limits", s=1.5)
REGISTER = _rpc("account", "make", Register, User, "somebody registers", s=HASH_S)
CHANGE_PASSWORD = _rpc("password", "change", ChangePassword, Done, "somebody changes their password", s=HASH_S)
OPEN_SESSION = _rpc("session", "open", OpenSession, Session, "somebody logs in", s=HASH_S)
REFRESH_SESSION = _rpc("session", "refresh", RefreshSession, Session, "a session goes on")
END_SESSION = _rpc("session", "end", EndSession, Done, "somebody logs out")
MAKE_TICKET = _rpc("ticket", "make", MakeTicket, Ticket, "a browser wants to open a websocket")
SPEND_TICKET = _rpc("ticket", "spend", SpendTicket, Principal, "whose ticket is this", by=("notifier",), s=1.5)
CREATE_KEY = _rpc("key", "create", CreateKey, CreatedKey, "a user makes a key")
LIST_KEYS = _rpc("key", "list", ListKeys, Keys, "a user's keys")
REVOKE_KEY = _rpc("key", "revoke", RevokeKey, Done, "a user ends a key")
LIST_USERS = _rpc("user", "list", ListUsers, UserPage, "an admin looks for users")
CHANGE_USER = _rpc("user", "change", ChangeUser, Account, "an admin changes a user")
LIST_TIERS = _rpc("tier", "list", ListTiers, Tiers, "an admin looks at the tiers")
CHANGE_TIER = _rpc("tier", "change", ChangeTier, TierLimits, "an admin changes a tier")
READ_CLASS_RULES = _rpc(
    "class_rules", "read", ReadClassRules, OperatorRules, "rules about node classes", by=("gateway", "scheduler"), s=1.5
)
CHANGE_CLASS_RULE = _rpc("class_rule", "change", ChangeClassRule, OperatorRules, "an admin changes a class rule")
RECORD_DENIAL = _rpc("denial", "record", RecordDenial, Done, "somebody was refused what they may not do")
KEYS_USED = Topic(
    kind=Traffic.CMD, owner="auth", noun="keys", verb="used", payload=KeysUsed,
    says="when keys were last seen", producers=DOORS, consumers=("auth",),
)  # fmt: skip
USER_CHANGED = Topic(
    kind=Traffic.LIVE, owner="auth", noun="user", verb="changed", payload=UserChanged,
    says="a user, a session or a key is not what it was", producers=("auth",),
    consumers=("gateway", "notifier", "scheduler"),
)  # fmt: skip
TIER_CHANGED = Topic(
    kind=Traffic.LIVE, owner="auth", noun="tier", verb="changed", payload=TierLimits,
    says="a tier has other limits", producers=("auth",), consumers=("gateway", "notifier", "scheduler"),
)  # fmt: skip
CLASS_RULES_CHANGED = Topic(
    kind=Traffic.LIVE, owner="auth", noun="class_rules", verb="changed", payload=ClassRules,
    says="operators changed the rules about node classes", producers=("auth",), consumers=("scheduler",),
)  # fmt: skip

TOPICS = (
    VERIFY_CREDENTIAL, READ_KEYSET, READ_CHANGES, READ_TENANT, READ_ACCOUNT, REGISTER, CHANGE_PASSWORD, OPEN_SESSION,
    REFRESH_SESSION, END_SESSION, MAKE_TICKET, SPEND_TICKET, CREATE_KEY, LIST_KEYS, REVOKE_KEY, LIST_USERS, CHANGE_USER,
    LIST_TIERS, CHANGE_TIER, READ_CLASS_RULES, CHANGE_CLASS_RULE, RECORD_DENIAL, KEYS_USED, USER_CHANGED, TIER_CHANGED,
    CLASS_RULES_CHANGED,
)  # fmt: skip
