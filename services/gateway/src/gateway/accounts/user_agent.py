"""The browser or program that sends a request, as its user sees it in the list of sessions."""

from fastapi import Request

MOST_CHARACTERS = 200


def user_agent(request: Request) -> str | None:
    """Return the printable ASCII of the ``User-Agent`` header, at most ``MOST_CHARACTERS``; None if there is none."""
    sent = request.headers.get("user-agent", "")
    return "".join(each for each in sent if " " <= each <= "~")[:MOST_CHARACTERS].strip() or None
