"""The password policy (NIST SP 800-63B): long passwords of any characters that are not easy to guess."""

import unicodedata
from dataclasses import dataclass
from functools import cache

from zxcvbn.frequency_lists import FREQUENCY_LISTS

from contracts.auth.accounts import PASSWORD_MAX
from contracts.wire.errors import FieldError

MIN_LENGTH, MIN_OTHER_CHARACTERS = 15, 8  # 15 when the password is the only factor; never less than 8
SERVICE = "comfyfleet"
MIN_PERIOD = 8  # "abcabcabcabcabc" is as weak as "abc"
MIN_WORD_LENGTH = 3  # shorter names are not removed from a password


def normalize_password(password: str) -> str:
    """Return the NFKC form, so that a password is equal however it was typed. White space is kept."""
    return unicodedata.normalize("NFKC", password)


@dataclass(frozen=True, slots=True)
class PasswordPolicy:
    """Rules for new passwords. ``min_length`` counts characters after normalization."""

    min_length: int = MIN_LENGTH

    def validate(self, password: str, *, username: str, email: str, pointer: str) -> tuple[FieldError, ...]:
        """Return the first rule that the password breaks, without echoing it; empty when it is acceptable."""
        error = self._find_first_error(password, username, email)
        return () if error is None else (FieldError(pointer=pointer, code=error[0], message=error[1]),)

    def _find_first_error(self, password: str, username: str, email: str) -> tuple[str, str] | None:
        text = normalize_password(password)
        if max(len(text), len(password)) > PASSWORD_MAX:
            return "password_too_long", f"Use at most {PASSWORD_MAX} characters."
        if min(len(text), len(password)) < self.min_length:
            return "password_too_short", f"Use at least {self.min_length} characters."
        folded = text.casefold()
        if (
            folded.strip() in _load_common_passwords()
            or folded[: _find_repeated_unit_length(folded)] in _load_common_passwords()
        ):
            return "password_common", "This is one of the most common passwords. Choose another one."
        if _find_repeated_unit_length(folded) < MIN_PERIOD:
            return "password_repetitive", "This password repeats a few characters. Use more different ones."
        if _count_characters_without(folded, username, email.partition("@")[0], SERVICE) < MIN_OTHER_CHARACTERS:
            return (
                "password_context",
                f"This password is mostly your username, your e-mail address or {SERVICE}. Choose another one.",
            )
        return None


@cache
def _load_common_passwords() -> frozenset[str]:
    """Return the 30,000 most common leaked passwords, in lower case."""
    return frozenset(FREQUENCY_LISTS["passwords"])


def _find_repeated_unit_length(text: str) -> int:
    """Return the length of the shortest unit that the text repeats at least twice, else its own length. Linear time."""
    border = [0] * len(text)
    for index in range(1, len(text)):
        length = border[index - 1]
        while length and text[index] != text[length]:
            length = border[length - 1]
        border[index] = length + (text[index] == text[length])
    period = len(text) - (border[-1] if border else 0)
    return period if 2 * period <= len(text) else len(text)


def _count_characters_without(folded: str, *words: str) -> int:
    """Count the characters left after removing these words, longest first."""
    for word in sorted((word.casefold() for word in words if len(word) >= MIN_WORD_LENGTH), key=len, reverse=True):
        folded = folded.replace(word, "")
    return len(folded)
