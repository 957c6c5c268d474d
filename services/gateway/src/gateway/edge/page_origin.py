"""The web page that sends a request, by the headers that browsers set and scripts cannot."""

import re
from collections.abc import Sequence

from contracts.wire.errors import FieldError
from gateway.edge.errors import InvalidRequest

ORIGIN = r"https?://[a-z0-9.-]{1,200}(:[0-9]{1,5})?"
_SHAPE = re.compile(ORIGIN)


def is_own_page(*, sites: Sequence[str], origins: Sequence[str], host: str, public_url: str) -> bool:
    """Whether a page of this server sends the request. False for a client that is not a browser.

    Args:
        sites: all ``Sec-Fetch-Site`` headers. Browsers leave it out on plain http, except to their own machine.
        origins: all ``Origin`` headers, which decide if there is no ``Sec-Fetch-Site``.
        host: the ``Host`` header.
        public_url: origin that clients see.
    """
    if sites:
        return list(sites) == ["same-origin"]
    scheme = public_url.partition("://")[0]
    return list(origins) in ([public_url], [f"{scheme}://{host}"])


def find_page_origin(named: str | None, sent: Sequence[str]) -> str | None:
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
