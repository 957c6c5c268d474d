"""Response bodies for accounts, sessions and keys."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from contracts.auth.accounts import Account, Role, User
from contracts.auth.credentials import Jwk, Scope
from contracts.auth.keys import CreatedKey, Key
from contracts.auth.sessions import SessionRecord, SessionTokens
from contracts.auth.tiers import Limits, Tier, TierLimits
from contracts.scheduler.usage import TenantUsage

_USER = {
    "id": "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee",
    "username": "ada",
    "email": "ada@example.com",
    "tier": "basic",
    "role": "user",
    "is_active": True,
    "created_at": "2026-11-23T09:00:00Z",
}
_LIMITS = {
    "images_per_day": 100, "max_running": 2, "queue_cap": 100, "weight": 2, "requests_per_minute": 120,
    "result_days": 30, "upload_days": 7, "graph_policy": "strict", "graph_nodes": 1000, "graph_text_bytes": 1048576,
    "graph_pixels": 268435456, "graph_steps": 500, "graph_pixel_steps": 50000000000, "run_seconds": 1800,
    "gpu_seconds_per_day": None, "result_bytes": None, "upload_bytes": 100000000, "start_seconds": 86400,
}  # fmt: skip
_KEY = {
    "id": "4fT0zLq81wXc",
    "name": "render box",
    "scopes": ["jobs:read", "jobs:write"],
    "expires_at": "2027-02-21T09:00:00Z",
    "created_at": "2026-11-23T09:00:00Z",
}


def _with_example(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [example]})


class UserBody(BaseModel):
    """An account as its owner sees it."""

    model_config = _with_example(_USER)

    id: UUID
    username: str
    email: str
    tier: Tier
    role: Role
    is_active: bool
    created_at: datetime


class MeBody(UserBody):
    """The current user with limits and usage. A limit that is null means unlimited."""

    model_config = _with_example(
        _USER
        | {"limits": _LIMITS, "used_today": 12, "left_today": 88, "resets_at": "2026-11-24T00:00:00Z"}
        | {"running": 1, "queued": 3}
    )

    limits: Limits
    used_today: int
    left_today: int | None
    resets_at: datetime
    running: int
    queued: int


class AccountBody(UserBody):
    """An account as admins see it. ``own_limits`` names the limits that differ from those of the tier.

    ``shares_quota``: the account shares its daily image quota with free accounts registered from the same address.
    """

    model_config = _with_example(_USER | {"limits": _LIMITS, "own_limits": ["queue_cap"], "shares_quota": False})

    limits: Limits
    own_limits: list[str]
    shares_quota: bool


class AccountsBody(BaseModel):
    """A page of accounts, newest first. ``next_cursor`` is null on the last page."""

    users: list[AccountBody]
    next_cursor: str | None


class SessionBody(BaseModel):
    """The tokens of a session. ``expires_in``: lifetime of the access token, seconds."""

    model_config = _with_example(
        {"access_token": "eyJhbGciOiJFZERTQSJ9…", "refresh_token": "cfr_…", "token_type": "bearer", "expires_in": 900}
    )

    access_token: str
    refresh_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - a token type of OAuth2, not a secret
    expires_in: int


class CookieSessionBody(BaseModel):
    """A session whose refresh token is in a cookie. ``expires_in``: lifetime of the access token, seconds."""

    model_config = _with_example({"access_token": "eyJhbGciOiJFZERTQSJ9…", "token_type": "bearer", "expires_in": 900})

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - a token type of OAuth2, not a secret
    expires_in: int


class OwnSessionBody(BaseModel):
    """A session in a list.

    ``last_used_at`` is accurate to some minutes. ``expires_at``: when the session expires if it is not used before.
    ``user_agent`` and ``ip``: those of the login or the last refresh, null if unknown.
    """

    model_config = _with_example(
        {
            "id": "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee",
            "created_at": "2026-11-23T09:00:00Z",
            "last_used_at": "2026-11-23T10:15:00Z",
            "expires_at": "2026-11-30T10:15:00Z",
            "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
            "ip": "192.0.2.7",
            "current": True,
        }
    )

    id: UUID
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    user_agent: str | None
    ip: str | None
    current: bool


class SessionsBody(BaseModel):
    """The active sessions of a user, newest first, on one page."""

    sessions: list[OwnSessionBody]
    next_cursor: None = None


class KeyBody(BaseModel):
    """A key in a list. ``prefix`` is the beginning of its text; ``last_used_at`` is accurate to some minutes."""

    model_config = _with_example(_KEY | {"prefix": "cf_4fT0zLq81wXc", "last_used_at": None})

    id: str
    name: str
    prefix: str
    scopes: list[Scope]
    expires_at: datetime | None
    created_at: datetime
    last_used_at: datetime | None


class CreatedKeyBody(BaseModel):
    """A new key. ``key`` is its text, shown only in this response."""

    model_config = _with_example(_KEY | {"key": "cf_4fT0zLq81wXc_…"})

    id: str
    key: str
    name: str
    scopes: list[Scope]
    expires_at: datetime | None
    created_at: datetime


class KeysBody(BaseModel):
    """All valid keys of a user, newest first, on one page."""

    keys: list[KeyBody]
    next_cursor: None = None


class TierBody(BaseModel):
    """A tier, and the limits of its users who have no individual ones."""

    model_config = _with_example({"name": "basic", "limits": _LIMITS})

    name: Tier
    limits: Limits


class TiersBody(BaseModel):
    """All tiers, smallest first, on one page."""

    tiers: list[TierBody]
    next_cursor: None = None


class KeysetBody(BaseModel):
    """The public keys that verify access tokens (RFC 7517)."""

    keys: list[Jwk]


def build_user_body(user: User) -> UserBody:
    return UserBody(**user.model_dump())


def build_account_body(account: Account) -> AccountBody:
    return AccountBody(
        **account.user.model_dump(),
        limits=account.limits,
        own_limits=list(account.own_limits),
        shares_quota=account.shares_quota,
    )


def build_me_body(account: Account, usage: TenantUsage) -> MeBody:
    limit, used = usage.quota.limit, usage.quota.used
    return MeBody(
        **account.user.model_dump(),
        limits=account.limits,
        used_today=used,
        left_today=None if limit is None else max(0, limit - used),
        resets_at=usage.quota.resets_at,
        running=usage.running,
        queued=usage.queued,
    )


def build_session_body(session: SessionTokens) -> SessionBody:
    return SessionBody(
        access_token=session.access_token.get_secret_value(),
        refresh_token=session.refresh_token.get_secret_value(),
        expires_in=session.expires_in,
    )


def build_cookie_session_body(session: SessionTokens) -> CookieSessionBody:
    return CookieSessionBody(access_token=session.access_token.get_secret_value(), expires_in=session.expires_in)


def build_sessions_body(sessions: Iterable[SessionRecord], *, current: UUID | None) -> SessionsBody:
    return SessionsBody(
        sessions=[
            OwnSessionBody(
                id=session.id,
                created_at=session.created_at,
                last_used_at=session.refreshed_at,
                expires_at=session.expires_at,
                user_agent=session.user_agent,
                ip=session.ip,
                current=session.id == current,
            )
            for session in sessions
        ]
    )


def build_keys_body(keys: Iterable[Key]) -> KeysBody:
    return KeysBody(keys=[KeyBody(**key.model_dump()) for key in keys])


def build_created_key_body(created: CreatedKey) -> CreatedKeyBody:
    fields = created.key.model_dump(exclude={"prefix", "last_used_at"})
    return CreatedKeyBody(key=created.text.get_secret_value(), **fields)


def build_tier_body(tier: TierLimits) -> TierBody:
    return TierBody(name=tier.tier, limits=tier.limits)
