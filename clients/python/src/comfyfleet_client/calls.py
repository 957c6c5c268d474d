"""Calls of the API. A new route needs one function here and a method that runs it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from comfyfleet_client.call import Call, Request, build_parser, omit_none, parse_empty, quote_segment
from comfyfleet_client.results import (
    Account,
    AccountPage,
    Job,
    JobPage,
    Key,
    Keys,
    Me,
    Models,
    NewKey,
    Outputs,
    Tier,
    Tiers,
    Tokens,
    User,
)


def register(username: str, email: str, password: str, invite: str | None = None) -> Call[User]:
    body = omit_none(username=username, email=email, password=password, invite=invite)
    return Call(Request("POST", "/auth/register", body=body, repeatable=False, anonymous=True), build_parser(User))


def login(username: str, password: str) -> Call[Tokens]:
    body = {"username": username, "password": password}
    return Call(Request("POST", "/auth/login", body=body, anonymous=True), build_parser(Tokens))


def refresh(refresh_token: str) -> Call[Tokens]:
    """Refresh a session. The API accepts a repetition within seconds."""
    body = {"refresh_token": refresh_token}
    return Call(Request("POST", "/auth/refresh", body=body, anonymous=True), build_parser(Tokens))


def logout(*, everywhere: bool = False) -> Call[None]:
    query = {"all": True} if everywhere else {}
    return Call(Request("POST", "/auth/logout", query=query, repeatable=False), parse_empty)


def change_password(current: str, new: str) -> Call[None]:
    body = {"current_password": current, "new_password": new}
    return Call(Request("POST", "/auth/password", body=body, repeatable=False), parse_empty)


def read_current_user() -> Call[Me]:
    return Call(Request("GET", "/auth/me"), build_parser(Me))


def export_account(*, files: bool) -> Request:
    return Request("GET", "/auth/me/export", query={"files": files})


def erase_account(password: str) -> Call[None]:
    return Call(Request("DELETE", "/auth/me", body={"password": password}, repeatable=False), parse_empty)


def erase_user(user_id: str) -> Call[None]:
    return Call(Request("DELETE", f"/admin/users/{quote_segment(user_id)}", repeatable=False), parse_empty)


def create_key(
    name: str, scopes: Sequence[str] | None, expires_at: datetime | None, *, idempotency_key: str
) -> Call[NewKey]:
    expiry = expires_at.isoformat() if expires_at else None
    body = omit_none(name=name, scopes=list(scopes) if scopes else None, expires_at=expiry)
    return Call(_build_creating_request("/auth/keys", body, idempotency_key), build_parser(NewKey))


def list_keys() -> Call[tuple[Key, ...]]:
    return Call(Request("GET", "/auth/keys"), lambda body: build_parser(Keys)(body).keys)


def revoke_key(key_id: str) -> Call[None]:
    return Call(Request("DELETE", f"/auth/keys/{quote_segment(key_id)}"), parse_empty)


def submit_job(submission: Mapping[str, Any], *, idempotency_key: str) -> Call[Job]:
    return Call(_build_creating_request("/jobs", omit_none(**submission), idempotency_key), build_parser(Job))


def read_job(job_id: str) -> Call[Job]:
    return Call(Request("GET", f"/jobs/{quote_segment(job_id)}"), build_parser(Job))


def list_jobs(
    *,
    status: str | None = None,
    workflow: str | None = None,
    label: str | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[JobPage]:
    after, before = (at.isoformat() if at else None for at in (created_after, created_before))
    query = omit_none(
        status=status, workflow=workflow, label=label, created_after=after, created_before=before, limit=limit,
        cursor=cursor,
    )  # fmt: skip
    return Call(Request("GET", "/jobs", query=query), build_parser(JobPage))


def cancel_job(job_id: str) -> Call[Job]:
    """Cancel a job; one that has ended stays unchanged."""
    return Call(Request("DELETE", f"/jobs/{quote_segment(job_id)}"), build_parser(Job))


def purge_job(job_id: str) -> Call[None]:
    """Delete an ended job with its inputs and outputs."""
    return Call(Request("DELETE", f"/jobs/{quote_segment(job_id)}", query={"purge": True}), parse_empty)


def read_outputs(job_id: str) -> Call[Outputs]:
    return Call(Request("GET", f"/jobs/{quote_segment(job_id)}/outputs"), build_parser(Outputs))


def download_result(job_id: str, index: int | None) -> Request:
    """Download one output."""
    return Request("GET", f"/jobs/{quote_segment(job_id)}/result", query=omit_none(index=index))


def list_models() -> Call[Mapping[str, list[str]]]:
    return Call(Request("GET", "/models"), lambda body: build_parser(Models)(body).models)


def list_users(
    *,
    search: str | None = None,
    tier: str | None = None,
    role: str | None = None,
    is_active: bool | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[AccountPage]:
    query = omit_none(search=search, tier=tier, role=role, is_active=is_active, limit=limit, cursor=cursor)
    return Call(Request("GET", "/admin/users", query=query), build_parser(AccountPage))


def read_user(user_id: str) -> Call[Account]:
    return Call(Request("GET", f"/admin/users/{quote_segment(user_id)}"), build_parser(Account))


def change_user(
    user_id: str,
    *,
    tier: str | None = None,
    role: str | None = None,
    is_active: bool | None = None,
    limits: Mapping[str, float | str | None] | None = None,
    shares_quota: bool | None = None,
) -> Call[Account]:
    own = dict(limits) if limits is not None else None
    body = omit_none(tier=tier, role=role, is_active=is_active, limits=own, shares_quota=shares_quota)
    return Call(Request("PATCH", f"/admin/users/{quote_segment(user_id)}", body=body), build_parser(Account))


def list_tiers() -> Call[tuple[Tier, ...]]:
    return Call(Request("GET", "/admin/tiers"), lambda body: build_parser(Tiers)(body).tiers)


def change_tier(name: str, limits: Mapping[str, float | str | None]) -> Call[Tier]:
    return Call(
        Request("PATCH", f"/admin/tiers/{quote_segment(name)}", body={"limits": dict(limits)}), build_parser(Tier)
    )


def _build_creating_request(path: str, body: dict[str, Any], idempotency_key: str) -> Request:
    """Return a creating request that is safe to retry because of its idempotency key."""
    return Request("POST", path, body=body, headers={"Idempotency-Key": idempotency_key})
