"""Scripted auth: API keys, access tokens signed with its own key, and changes that a test publishes or withholds."""

import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr

from chassis.messaging.bus import Bus
from chassis.messaging.metadata import Metadata
from contracts.auth.accounts import READ_ACCOUNT, Account, ReadAccount, Role, UnknownUser, User
from contracts.auth.audit import RECORD_ACTION, RecordAction
from contracts.auth.changes import READ_CHANGES, Changes, ReadChanges, UserChanged
from contracts.auth.credentials import (
    ALGORITHM,
    AUDIENCE,
    ISSUER,
    READ_KEYSET,
    VERIFY_CREDENTIAL,
    InvalidCredential,
    Jwk,
    Keyset,
    Principal,
    ReadKeyset,
    Scope,
    VerifyCredential,
    list_scopes,
)
from contracts.auth.erasure import READ_ERASURES, Erasure, Erasures, ReadErasures
from contracts.auth.fields import Done
from contracts.auth.keys import KEYS_USED, LIST_KEYS, Keys, KeysUsed, ListKeys
from contracts.auth.sessions import LIST_SESSIONS, ListSessions, Sessions
from contracts.auth.tickets import (
    CREATE_TICKET,
    REDEEM_TICKET,
    TICKET_LIFETIME_S,
    CreateTicket,
    InvalidTicket,
    RedeemTicket,
    Ticket,
)
from contracts.auth.tiers import Limits, Tier, TierLimits
from contracts.graph_policy.policy import GraphPolicy
from contracts.wire.topic import Address

UNLIMITED = Limits(
    images_per_day=None,
    max_running=None,
    queue_cap=None,
    weight=1.0,
    requests_per_minute=None,
    graph_policy=GraphPolicy.OPEN,
)
TOKEN_S = 900


@dataclass(frozen=True)
class ScriptedUser:
    """A user with its limits, as auth stores it."""

    username: str = "u"
    tier: Tier = Tier.PRO
    role: Role = Role.USER
    is_active: bool = True
    limits: Limits = UNLIMITED
    own_limits: bool = False
    version: int = 1
    tokens_from: int = 0


@dataclass
class SigningKey:
    """A key pair with its id."""

    kid: str = "k1"
    private: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def jwk(self) -> Jwk:
        raw = self.private.public_key().public_bytes_raw()
        return Jwk(kid=self.kid, x=base64.urlsafe_b64encode(raw).rstrip(b"=").decode())


async def _return_immediately() -> None:
    pass


class ScriptedAuth:
    """Replies as auth does, with keys, users, scopes and changes set by a test.

    Attributes:
        keys: user by the text of the key; ``scopes`` of keys that do not have all scopes of their user.
        asked: number of requests to verify a key; ``keysets`` and ``reads``: number of requests for the keyset and for
            changes.
        verified: keys that services asked about.
        actions: audited actions of admins.
    """

    def __init__(self) -> None:
        self._first_keys = {"alice-key": uuid4(), "bob-key": uuid4()}
        self.signing = SigningKey()
        self.reset()

    def reset(self) -> None:
        """Forget everything but the first keys, their users and the signing key, which gateways cache."""
        self.keys: dict[str, UUID] = dict(self._first_keys)
        self.scopes: dict[str, tuple[Scope, ...]] = {}
        self.expiries: dict[str, datetime] = {}
        self.users: dict[UUID, ScriptedUser] = {}
        self.tiers: dict[Tier, Limits] = dict.fromkeys(Tier, UNLIMITED)
        self.changes: list[UserChanged] = []
        self.uses: dict[str, datetime] = {}
        self.tickets: dict[str, CreateTicket] = {}
        self.erased: list[UUID] = []
        self.actions: list[RecordAction] = []
        self.asked = self.keysets = self.reads = 0
        self.verified: list[str] = []
        self.before_verify: Callable[[], Awaitable[None]] = _return_immediately
        self.before_read: Callable[[], Awaitable[None]] = _return_immediately
        self.page = 1000
        self.keyset: Keyset | None = None

    async def read_erasures(self, asked: ReadErasures, _: Address) -> Erasures:
        now = datetime.now(UTC)
        found = [Erasure(number=number, tenant_id=tenant_id, at=now) for number, tenant_id in enumerate(self.erased, 1)]
        return Erasures(erasures=tuple(found[asked.after :]), more=False, now=now)

    async def record_action(self, action: RecordAction, _: Address) -> Done:
        self.actions.append(action)
        return Done()

    def serve(self, bus: Bus) -> None:
        """Serve auth's topics on this connection."""
        bus.serve(READ_ERASURES, self.read_erasures)
        bus.serve(RECORD_ACTION, self.record_action)
        bus.serve(VERIFY_CREDENTIAL, self.verify)
        bus.serve(READ_KEYSET, self.read_keyset)
        bus.serve(READ_CHANGES, self.read_changes)
        bus.serve(READ_ACCOUNT, self.read_account)
        bus.serve(LIST_KEYS, self.list_keys)
        bus.serve(LIST_SESSIONS, self.list_sessions)
        bus.serve(CREATE_TICKET, self.create_ticket)
        bus.serve(REDEEM_TICKET, self.redeem_ticket)

    async def subscribe_to_key_uses(self, bus: Bus) -> None:
        """Subscribe to the key uses that services publish. Requires a connection."""

        async def used(message: KeysUsed, _: Metadata) -> None:
            self.uses |= message.uses

        await bus.subscribe(KEYS_USED, used)

    def user(self, user_id: UUID) -> ScriptedUser:
        return self.users.setdefault(user_id, ScriptedUser())

    def token(self, user_id: UUID, *, key: SigningKey | None = None, typ: str = "at+jwt", **claims: Any) -> str:
        """Return an access token of this user. ``claims`` replaces claims; None removes one."""
        signing = key or self.signing
        header = {"kid": signing.kid, "typ": typ}
        said = self.claims(user_id) | claims
        said = {name: value for name, value in said.items() if value is not None or name == "rpm"}
        return jwt.encode(said, signing.private, algorithm=ALGORITHM, headers=header)

    def claims(self, user_id: UUID) -> dict[str, Any]:
        """Return the claims of a token of this user."""
        user, now = self.user(user_id), int(datetime.now(UTC).timestamp())
        return {
            "iss": ISSUER, "aud": AUDIENCE, "sub": str(user_id), "sid": str(uuid4()), "jti": str(uuid4()),
            "iat": now, "exp": now + TOKEN_S, "username": user.username, "tier": user.tier, "role": user.role,
            "rpm": user.limits.requests_per_minute, "own": user.own_limits, "ver": user.version,
        }  # fmt: skip

    def change(
        self,
        user_id: UUID,
        *,
        void_tokens: bool = False,
        ended_session: UUID | None = None,
        revoked_key: str | None = None,
        **fields: Any,
    ) -> UserChanged:
        """Change a user as a transaction of auth does; the test publishes the change. ``revoked_key`` is a key id."""
        user = replace(self.user(user_id), **fields)
        version = user.version + 1
        user = replace(user, version=version, tokens_from=version if void_tokens else user.tokens_from)
        self.users[user_id] = user
        if revoked_key:
            self.keys = {text: owner for text, owner in self.keys.items() if key_id(text) != revoked_key}
        change = UserChanged(
            user_id=user_id, version=version, tokens_from=user.tokens_from, is_active=user.is_active, tier=user.tier,
            role=user.role, limits=user.limits, own_limits=user.own_limits, ended_session=ended_session,
            revoked_key=revoked_key, at=datetime.now(UTC),
        )  # fmt: skip
        self.changes.append(change)
        return change

    def change_tier(self, tier: Tier, limits: Limits) -> TierLimits:
        """Change a tier, which affects those of its users that have no individual limits."""
        self.tiers[tier] = limits
        for user_id, user in self.users.items():
            if user.tier is tier and not user.own_limits:
                self.users[user_id] = replace(user, limits=limits)
        return TierLimits(tier=tier, limits=limits)

    async def verify(self, asked: VerifyCredential, _: Address) -> Principal:
        self.asked += 1
        text = asked.credential.get_secret_value()
        self.verified.append(text)
        owner = self.keys.get(text)
        user = self.user(owner) if owner else None
        await self.before_verify()
        expires_at = self.expiries.get(text)
        if owner is None or user is None or not user.is_active or (expires_at and expires_at <= datetime.now(UTC)):
            raise InvalidCredential
        allowed = list_scopes(user.role)
        return Principal(
            user_id=owner, username=user.username, tier=user.tier, role=user.role, key_id=key_id(text),
            scopes=tuple(scope for scope in self.scopes.get(text, allowed) if scope in allowed),
            requests_per_minute=user.limits.requests_per_minute, own_limits=user.own_limits, version=user.version,
            expires_at=expires_at,
        )  # fmt: skip

    async def create_ticket(self, asked: CreateTicket, address: Address) -> Ticket:
        assert str(asked.principal.user_id) == address.tenant
        text = f"cft_{uuid4().hex}{uuid4().hex[:11]}"
        self.tickets[text] = asked
        return Ticket(text=SecretStr(text), expires_in=TICKET_LIFETIME_S)

    async def redeem_ticket(self, asked: RedeemTicket, _: Address) -> Principal:
        made = self.tickets.pop(asked.ticket.get_secret_value(), None)
        if made is None or made.origin != asked.origin:
            raise InvalidTicket
        return made.principal

    async def read_keyset(self, _asked: ReadKeyset, _: Address) -> Keyset:
        self.keysets += 1
        return self.keyset or Keyset(keys=(self.signing.jwk,))

    async def read_changes(self, asked: ReadChanges, _: Address) -> Changes:
        self.reads += 1
        await self.before_read()
        now = datetime.now(UTC)
        since = asked.since or now - timedelta(seconds=TOKEN_S)
        users = tuple(change for change in self.changes if change.at >= since)[: self.page]
        tiers = tuple(TierLimits(tier=tier, limits=limits) for tier, limits in self.tiers.items())
        return Changes(now=users[-1].at if len(users) == self.page else now, tiers=tiers, users=users)

    async def list_keys(self, _asked: ListKeys, _: Address) -> Keys:
        return Keys(keys=())

    async def list_sessions(self, _asked: ListSessions, _: Address) -> Sessions:
        return Sessions(sessions=())

    async def read_account(self, _asked: ReadAccount, address: Address) -> Account:
        user_id = UUID(address.tenant)
        if user_id not in self.users and user_id not in self.keys.values():
            raise UnknownUser
        user = self.user(user_id)
        shown = User(
            id=user_id, username=user.username, email=f"{user.username}@example.com", tier=user.tier, role=user.role,
            is_active=user.is_active, created_at=datetime(2026, 1, 1, tzinfo=UTC),
        )  # fmt: skip
        return Account(user=shown, limits=user.limits)


def key_id(text: str) -> str:
    """Return the id of a key, derived from its text."""
    return f"id-of-{text}"
