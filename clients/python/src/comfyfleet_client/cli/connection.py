"""Creates the client of a command."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from comfyfleet_client.cli import login_file
from comfyfleet_client.cli.login_file import Login
from comfyfleet_client.credentials import Session
from comfyfleet_client.errors import ComfyfleetError
from comfyfleet_client.setup import DEFAULT_URL, normalize_url
from comfyfleet_client.sync_client import Client


class NotLoggedIn(ComfyfleetError):
    """There is no credential."""

    def __init__(self, url: str) -> None:
        super().__init__(f'No user is logged in at {url}. Run "comfyfleet login", or set COMFYFLEET_KEY.')


def find_url(context: typer.Context, own: str | None = None) -> str:
    """Return the service URL: from the option, the environment, the last login, or localhost."""
    stored = login_file.load_login()
    given = own or context.find_root().params.get("url") or os.environ.get("COMFYFLEET_URL")
    try:
        return normalize_url(given or (stored.url if stored else DEFAULT_URL))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def open_client(context: typer.Context) -> Client:
    """Return a client with ``COMFYFLEET_KEY``, else with the session stored for this service.

    Raises:
        NotLoggedIn: there is neither.
    """
    url, stored, key = find_url(context), login_file.load_login(), os.environ.get("COMFYFLEET_KEY")
    if key:
        try:
            return Client(url, key=key.strip())
        except ValueError as error:
            raise typer.BadParameter(f"COMFYFLEET_KEY: {error}") from None
    if stored is None or stored.url != url:
        raise NotLoggedIn(url)
    return open_session_client(stored)


def open_session_client(login: Login) -> Client:
    """Return a client that continues a login and shares its session with the commands that run at the same time."""

    def load_same_login() -> Login | None:
        stored = login_file.load_login()
        return stored if stored is not None and (stored.url, stored.username) == (login.url, login.username) else None

    @contextmanager
    def lock_session() -> Iterator[Session | None]:
        with login_file.lock_login():
            stored = load_same_login()
            yield stored.session if stored is not None else None

    def store_session(session: Session) -> None:
        if load_same_login() is not None:  # the user has neither logged out nor logged in as somebody else since
            save_session(login.url, login.username, session)

    return Client(login.url, session=login.session, on_session=store_session, lock_session=lock_session)


def store_login(url: str, username: str, session: Session) -> None:
    """Store a session for the next command."""
    with login_file.lock_login():
        save_session(url, username, session)


def save_session(url: str, username: str, session: Session) -> None:
    """Store a session for the next command. The caller holds the lock."""
    login_file.save_login(Login(url, username, session.access_token, session.refresh_token, session.expires_at))
