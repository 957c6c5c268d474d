"""The browser or program that sends a request, as its user sees it in the list of sessions."""

from fastapi import Request

MAX_CHARACTERS = 200


def read_user_agent(request: Request) -> str | None:
    """Return the printable ASCII of the ``User-Agent`` header, at most ``MAX_CHARACTERS``; None if there is none."""
    header = request.headers.get("user-agent", "")
    return "".join(char for char in header if " " <= char <= "~")[:MAX_CHARACTERS].strip() or None
