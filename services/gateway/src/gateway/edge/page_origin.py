"""The web origin for which a ticket is valid."""

import re
from collections.abc import Sequence

from contracts.wire.errors import FieldError
from gateway.edge.errors import InvalidRequest

ORIGIN = r"https?://[a-z0-9.-]{1,200}(:[0-9]{1,5})?"
_SHAPE = re.compile(ORIGIN)


def page_origin(named: str | None, sent: Sequence[str]) -> str | None:
    """Return the origin that the request names, else the origin of the page that sends it, else None.

    Args:
        named: the query parameter, used where a server sends the request for a page.
        sent: all ``Origin`` headers.

    Raises:
        InvalidRequest: browsers do not send such an origin: null, several, or with a path.
    """
    origin = named if named is not None else ", ".join(sent) or None
    if origin is None or _SHAPE.fullmatch(origin):
        return origin
    message = "An origin is http:// or https://, a host in lower case and perhaps a port, as browsers say it."
    raise InvalidRequest(errors=(FieldError(pointer="/origin", code="origin_invalid", message=message),))
