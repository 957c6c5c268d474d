"""The password policy (NIST SP 800-63B): long passwords of any characters that are not easy to guess."""

import unicodedata
from dataclasses import dataclass
from functools import cache

from zxcvbn.frequency_lists import FREQUENCY_LISTS

from contracts.auth.accounts import PASSWORD_MAX
from contracts.wire.errors import FieldError

MIN_LENGTH, FLOOR = 15, 8  # 15 when the password is the only factor; never less than 8
SERVICE = "comfyfleet"
SHORT_UNIT = 8  # "abcabcabcabcabc" is as weak as "abc"
SHORT_WORD = 3  # shorter names are not removed from a password


def normalised(password: str) -> str:
    """Return the NFKC form, so that a password is equal however it was typed. White space is kept."""
    return unicodedata.normalize("NFKC", password)


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules for new passwords. ``min_length`` counts characters after normalisation."""

    min_length: int = MIN_LENGTH

    def errors(self, password: str, *, username: str, email: str, pointer: str) -> tuple[FieldError, ...]:
        """Return the first rule that the password breaks, without echoing it; empty when it is acceptable."""
        fault = self._fault(password, username, email)
        return () if fault is None else (FieldError(pointer=pointer, code=fault[0], message=fault[1]),)

    def _fault(self, password: str, username: str, email: str) -> tuple[str, str] | None:
        text = normalised(password)
        if max(len(text), len(password)) > PASSWORD_MAX:
            return "password_too_long", f"Use at most {PASSWORD_MAX} characters."
        if min(len(text), len(password)) < self.min_length:
            return "password_too_short", f"Use at least {self.min_length} characters."
        folded = text.casefold()
        if folded.strip() in _common() or folded[: _period(folded)] in _common():
            return "password_common", "This is one of the most common passwords. Choose another one."
        if _period(folded) < SHORT_UNIT:
            return "password_repetitive", "This password repeats a few characters. Use more different ones."
        if _left_without(folded, username, email.partition("@")[0], SERVICE) < FLOOR:
            return (
                "password_context",
                f"This password is mostly your username, your e-mail address or {SERVICE}. Choose another one.",
            )
        return None


@cache
def _common() -> frozenset[str]:
    """The 30,000 most common leaked passwords, in lower case."""
    return frozenset(FREQUENCY_LISTS["passwords"])


def _period(text: str) -> int:
    """Length of the shortest unit that the text repeats at least twice, else the text's length. Linear time."""
    border = [0] * len(text)
    for index in range(1, len(text)):
        length = border[index - 1]
        while length and text[index] != text[length]:
            length = border[length - 1]
        border[index] = length + (text[index] == text[length])
    period = len(text) - (border[-1] if border else 0)
    return period if 2 * period <= len(text) else len(text)


def _left_without(folded: str, *words: str) -> int:
    """Number of characters left after removing the words, longest first."""
    for word in sorted((word.casefold() for word in words if len(word) >= SHORT_WORD), key=len, reverse=True):
        folded = folded.replace(word, "")
    return len(folded)
