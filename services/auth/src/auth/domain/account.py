"""Validation of usernames and email addresses, in time linear in the length of the text."""

import re

from contracts.wire.errors import FieldError

USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,30}[A-Za-z0-9]")
EMAIL_MAX, LOCAL_PART_MAX = 254, 64  # characters, RFC 5321 section 4.5.3.1
EMAIL_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+")
DOMAIN_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
LOGIN_NAME = re.compile(r"[!-~]{1,254}")

BAD_USERNAME = FieldError(
    pointer="/username",
    code="username_invalid",
    message="Use 3 to 32 ASCII letters, digits, dots, underscores or hyphens. Start and end with a letter or digit.",
)
BAD_EMAIL = FieldError(
    pointer="/email",
    code="email_invalid",
    message="Use an address such as name@example.org: at most 254 ASCII characters, without quotes or comments.",
)


def is_username(text: str) -> bool:
    """Whether the text is a valid username. Case is kept, but names that differ only in case count as equal."""
    return USERNAME.fullmatch(text) is not None


def normalize_email(text: str) -> str | None:
    """Return the address with its domain in lower case, or None when it is invalid.

    Internationalized addresses are refused: two that look the same must not become two accounts. Quoted local parts are
    refused too. A ``+tag`` is part of the address.
    """
    if len(text) > EMAIL_MAX or not text.isascii() or text.count("@") != 1:
        return None
    local, domain = text.split("@")
    labels = domain.split(".")
    if len(local) > LOCAL_PART_MAX or not all(map(EMAIL_ATOM.fullmatch, local.split("."))):
        return None
    if len(labels) < 2 or not all(map(DOMAIN_LABEL.fullmatch, labels)) or labels[-1].isdigit():
        return None
    return f"{local}@{domain.lower()}"


def validate_account(username: str, email: str) -> tuple[FieldError, ...]:
    """Return the validation errors of username and email address. They do not repeat the submitted values."""
    return (
        *(() if is_username(username) else (BAD_USERNAME,)),
        *(() if normalize_email(email) is not None else (BAD_EMAIL,)),
    )


def normalize_login_name(text: str) -> str:
    """Return the username or email address in lower case, or "" when no account can have it."""
    return text.lower() if LOGIN_NAME.fullmatch(text) else ""
