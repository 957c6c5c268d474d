"""For pages of which origin something is."""

import re
from collections.abc import Sequence

from contracts.wire.errors import FieldError
from gateway.errors import InvalidRequest

ORIGIN = r"https?://[a-z0-9.-]{1,200}(:[0-9]{1,5})?"
_SHAPE = re.compile(ORIGIN)


def page_origin(named: str | None, sent: Sequence[str]) -> str | None:
    """The origin that a request names, or else that of the page which sends it; None if neither is there.

    Args:
        named: by the request, where a server asks for a page.
        sent: every ``Origin`` header.

    Raises:
        InvalidRequest: it is none that a browser will say again: null, several, with a path.
    """
    origin = named if named is not None else ", ".join(sent) or None
    if origin is None or _SHAPE.fullmatch(origin):
        return origin
    message = "An origin is http:// or https://, a host in lower case and perhaps a port, as browsers say it."
    raise InvalidRequest(errors=(FieldError(pointer="/origin", code="origin_invalid", message=message),))
