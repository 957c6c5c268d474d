"""Text that began outside of the system and is repeated inside of messages: cleaned and bounded by its very type.

Three things make a message impossible to send or to store: NUL (PostgreSQL refuses it), lone surrogates (UTF-8 has no
bytes for them) and length without bound. A field of one of these types can hold none of them, whoever constructs it.
"""

import re
from functools import partial
from typing import Annotated, Any

from pydantic import BeforeValidator

MAX_NAME = 256  # characters: ids, codes, names of classes and files
MAX_MESSAGE = 2_000  # characters: sentences for people

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def clean(text: str, longest: int) -> str:
    """The text without control characters (but tab and line ends) and lone surrogates, at most ``longest`` characters.

    What is unfit becomes U+FFFD, so that two different texts rarely become the same and readers see that it was there.
    """
    return _UNFIT.sub(REPLACEMENT, text[:longest])


def is_clean(text: str) -> bool:
    """Whether ``clean`` would change no character of it."""
    return _UNFIT.search(text) is None


def _clean(value: Any, *, longest: int) -> Any:
    return clean(value, longest) if isinstance(value, str) else value


Name = Annotated[str, BeforeValidator(partial(_clean, longest=MAX_NAME))]
"""A short text, cleaned, at most ``MAX_NAME`` characters; what is longer is cut."""

Message = Annotated[str, BeforeValidator(partial(_clean, longest=MAX_MESSAGE))]
"""A sentence, cleaned, at most ``MAX_MESSAGE`` characters; what is longer is cut."""
