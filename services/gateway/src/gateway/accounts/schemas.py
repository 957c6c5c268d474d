"""Accounts, sessions and keys as the public API shows them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from contracts.auth.accounts import Account, Role, User
from contracts.auth.credentials import Jwk, Scope
from contracts.auth.keys import CreatedKey, Key
from contracts.auth.sessions import Session
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
    "gpu_seconds_per_day": None, "result_bytes": None, "upload_bytes": 100000000,
}  # fmt: skip
_KEY = {
    "id": "4fT0zLq81wXc",
    "name": "render box",
    "scopes": ["jobs:read", "jobs:write"],
    "expires_at": "2027-02-21T09:00:00Z",
    "created_at": "2026-11-23T09:00:00Z",
}


def _shown(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [example]})


class UserBody(BaseModel):
    """An account as its owner sees it."""

    model_config = _shown(_USER)

    id: UUID
    username: str
    email: str
    tier: Tier
    role: Role
    is_active: bool
    created_at: datetime


class MeBody(UserBody):
    """Who asks, what they may use, and what they use. Limits: null means none."""

    model_config = _shown(
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
    """An account as admins see it; ``own_limits`` names the limits that are its own rather than its tier's.

    ``shares_quota``: it shares its daily image quota with free accounts that registered from the same address.
    """

    model_config = _shown(_USER | {"limits": _LIMITS, "own_limits": ["queue_cap"], "shares_quota": False})

    limits: Limits
    own_limits: list[str]
    shares_quota: bool


class AccountsBody(BaseModel):
    """A page of accounts, newest first; ``next_cursor`` is null on the last one."""

    users: list[AccountBody]
    next_cursor: str | None


class SessionBody(BaseModel):
    """What a login gives; ``expires_in``: life of the access token, seconds."""

    model_config = _shown(
        {"access_token": "eyJhbGciOiJFZERTQSJ9…", "refresh_token": "cfr_…", "token_type": "bearer", "expires_in": 900}
    )

    access_token: str
    refresh_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - OAuth2's word for what kind of token it is
    expires_in: int


class KeyBody(BaseModel):
    """A key as it is listed; ``prefix`` is how it begins, ``last_used_at`` is some minutes exact."""

    model_config = _shown(_KEY | {"prefix": "cf_4fT0zLq81wXc", "last_used_at": None})

    id: str
    name: str
    prefix: str
    scopes: list[Scope]
    expires_at: datetime | None
    created_at: datetime
    last_used_at: datetime | None


class CreatedKeyBody(BaseModel):
    """A new key. ``key`` is its text, which is shown this once."""

    model_config = _shown(_KEY | {"key": "cf_4fT0zLq81wXc_…"})

    id: str
    key: str
    name: str
    scopes: list[Scope]
    expires_at: datetime | None
    created_at: datetime


class KeysBody(BaseModel):
    """All keys of a user that work, newest first; there is never a next page."""

    keys: list[KeyBody]
    next_cursor: None = None


class TierBody(BaseModel):
    """A tier, and what everybody in it may use who has no own limits."""

    model_config = _shown({"name": "basic", "limits": _LIMITS})

    name: Tier
    limits: Limits


class TiersBody(BaseModel):
    """Every tier, smallest first; there is never a next page."""

    tiers: list[TierBody]
    next_cursor: None = None


class KeysetBody(BaseModel):
    """The public keys that access tokens are signed with (RFC 7517)."""

    keys: list[Jwk]


def present_user(user: User) -> UserBody:
    """The public body of a user."""
    return UserBody(**user.model_dump())


def present_account(account: Account) -> AccountBody:
    """What admins see of a user."""
    return AccountBody(
        **account.user.model_dump(),
        limits=account.limits,
        own_limits=list(account.own_limits),
        shares_quota=account.shares_quota,
    )


def present_me(account: Account, use: TenantUsage) -> MeBody:
    """What a user sees of itself."""
    limit, used = use.quota.limit, use.quota.used
    return MeBody(
        **account.user.model_dump(),
        limits=account.limits,
        used_today=used,
        left_today=None if limit is None else max(0, limit - used),
        resets_at=use.quota.resets_at,
        running=use.running,
        queued=use.queued,
    )


def present_session(session: Session) -> SessionBody:
    """The answer to a login, tokens in plain text."""
    return SessionBody(
        access_token=session.access_token.get_secret_value(),
        refresh_token=session.refresh_token.get_secret_value(),
        expires_in=session.expires_in,
    )


def present_keys(keys: Iterable[Key]) -> KeysBody:
    """Keys without their text."""
    return KeysBody(keys=[KeyBody(**key.model_dump()) for key in keys])


def present_created(created: CreatedKey) -> CreatedKeyBody:
    """A new key with its text."""
    fields = created.key.model_dump(exclude={"prefix", "last_used_at"})
    return CreatedKeyBody(key=created.text.get_secret_value(), **fields)


def present_tier(tier: TierLimits) -> TierBody:
    """The public body of a tier."""
    return TierBody(name=tier.tier, limits=tier.limits)
