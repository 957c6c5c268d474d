"""Text types for external text in messages, and JSON Pointers. The types sanitize and bound every value.

Three things make a message impossible to send or store: NUL (PostgreSQL refuses it), lone surrogates (UTF-8 cannot
encode them) and unbounded length. A field of these types can contain none of them.
"""

import re
from functools import partial
from typing import Annotated, Any

from pydantic import BeforeValidator

MAX_NAME = 256  # characters: ids, codes, names of classes and files
MAX_MESSAGE = 2_000  # characters: sentences

REPLACEMENT_CHARACTER = "\N{REPLACEMENT CHARACTER}"

_INVALID_CHARACTER = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def clean_text(text: str, max_length: int) -> str:
    """Return at most ``max_length`` characters of a text, without control characters and lone surrogates.

    Tabs and line ends stay. Each invalid character becomes U+FFFD, so that the change is visible and
    different strings rarely become equal.
    """
    return _INVALID_CHARACTER.sub(REPLACEMENT_CHARACTER, text[:max_length])


def is_clean_text(text: str) -> bool:
    """Whether ``clean_text`` would leave the text unchanged."""
    return _INVALID_CHARACTER.search(text) is None


def escape_pointer_key(key: int | str) -> str:
    """Return a key or index as one part of a JSON Pointer (RFC 6901)."""
    return str(key).replace("~", "~0").replace("/", "~1")


def _clean_value(value: Any, *, max_length: int) -> Any:
    return clean_text(value, max_length) if isinstance(value, str) else value


ShortText = Annotated[str, BeforeValidator(partial(_clean_value, max_length=MAX_NAME))]
"""A name, id or code: cleaned, and cut to ``MAX_NAME`` characters."""

LongText = Annotated[str, BeforeValidator(partial(_clean_value, max_length=MAX_MESSAGE))]
"""A sentence: cleaned, and cut to ``MAX_MESSAGE`` characters."""
