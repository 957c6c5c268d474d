"""Functions that both clients use: creating the caller, building submissions, ids and URLs."""

import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from uuid import uuid4

import httpx

from comfyfleet_client.call import omit_none
from comfyfleet_client.caller import Caller
from comfyfleet_client.credentials import Credentials, Session
from comfyfleet_client.results import Job
from comfyfleet_client.retry import Retry

VISIBLE_ASCII = re.compile("[!-~]+")
DEFAULT_URL = "http://127.0.0.1:8000"
USER_AGENT = "comfyfleet-client/0.1"


def create_caller(
    base_url: str | None,
    *,
    key: str | None,
    token: str | None,
    session: Session | None,
    username: str | None,
    password: str | None,
    on_session: Callable[[Session], None] | None,
    retry: Retry | None,
    lock_session: Callable[[], AbstractContextManager[Session | None]] = nullcontext,
) -> Caller:
    """Return a caller with the given values, else ``COMFYFLEET_URL`` and ``COMFYFLEET_KEY``."""
    if key is None and token is None and session is None and username is None:
        key = os.environ.get("COMFYFLEET_KEY") or None
    for credential in (key, token):
        if credential is not None and not VISIBLE_ASCII.fullmatch(credential):
            raise ValueError("A key or token must consist of visible ASCII characters.")
    url = normalize_url(base_url or os.environ.get("COMFYFLEET_URL") or DEFAULT_URL)
    credentials = Credentials(key, token, session, username, password, on_session, lock_session)
    return Caller(url, credentials, retry or Retry())


def build_submission(prompt: str | None, workflow: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the body of a submission.

    The API validates the parameters; this checks that exactly one of prompt and workflows is given.
    """
    if (prompt, workflow, parameters.get("workflow_name")).count(None) != 2:
        raise ValueError("Give exactly one of prompt, workflow and workflow_name.")
    return omit_none(prompt=prompt, workflow=workflow, **parameters)


def new_idempotency_key() -> str:
    return uuid4().hex


def get_job_id(job: Job | str) -> str:
    """Return the id of a job."""
    return job if isinstance(job, str) else job.job_id


def normalize_url(text: str) -> str:
    """Normalize the URL of a service. Raises ValueError if invalid."""
    url = text.strip().rstrip("/").removesuffix("/api/v1")
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in {"http", "https"} or not parsed.host or parsed.query or parsed.userinfo:
        raise ValueError(f"{text!r} is not the URL of a service. Example: https://api.example")
    return url
