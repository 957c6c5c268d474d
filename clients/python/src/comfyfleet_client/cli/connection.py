"""Creates the client of a command."""

import os

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
    """Return a client that continues a login and stores refreshed sessions."""

    def store_session(session: Session) -> None:
        store_login(login.url, login.username, session)

    return Client(login.url, session=login.session, on_session=store_session)


def store_login(url: str, username: str, session: Session) -> None:
    """Store a session for the next command."""
    login_file.save_login(Login(url, username, session.access_token, session.refresh_token, session.expires_at))
