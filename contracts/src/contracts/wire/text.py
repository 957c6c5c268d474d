"""Text types for external text in messages. The type sanitises and bounds every value.

Three things make a message impossible to send or store: NUL (PostgreSQL refuses it), lone surrogates (UTF-8 cannot
encode them) and unbounded length. A field of these types can contain none of them.
"""

import re
from functools import partial
from typing import Annotated, Any

from pydantic import BeforeValidator

MAX_NAME = 256  # characters: ids, codes, names of classes and files
MAX_MESSAGE = 2_000  # characters: sentences

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def clean(text: str, longest: int) -> str:
    """Return at most ``longest`` characters, without control characters (except tab and line ends) and lone surrogates.

    Each invalid character becomes U+FFFD, so that different texts rarely become equal and the change is visible.
    """
    return _UNFIT.sub(REPLACEMENT, text[:longest])


def is_clean_text(text: str) -> bool:
    """Whether ``clean`` would leave the text unchanged."""
    return _UNFIT.search(text) is None


def _clean_value(value: Any, *, longest: int) -> Any:
    return clean(value, longest) if isinstance(value, str) else value


Name = Annotated[str, BeforeValidator(partial(_clean_value, longest=MAX_NAME))]
"""A short text, cleaned, at most ``MAX_NAME`` characters; what is longer is cut."""

Message = Annotated[str, BeforeValidator(partial(_clean_value, longest=MAX_MESSAGE))]
"""A sentence, cleaned, at most ``MAX_MESSAGE`` characters; what is longer is cut."""
