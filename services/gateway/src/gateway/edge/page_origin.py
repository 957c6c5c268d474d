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


def find_page_origin(requested: str | None, origin_headers: Sequence[str]) -> str | None:
    """Return the requested origin, else the origin of the page that sends the request, else None.

    Args:
        requested: the query parameter, for a server that sends the request on behalf of a page.
        origin_headers: all ``Origin`` headers.

    Raises:
        InvalidRequest: no browser sends such an origin: null, several, or with a path.
    """
    origin = requested if requested is not None else ", ".join(origin_headers) or None
    if origin is None or _SHAPE.fullmatch(origin):
        return origin
    message = "An origin is http:// or https://, a host in lower case and optionally a port, as browsers send it."
    raise InvalidRequest(errors=(FieldError(pointer="/origin", code="origin_invalid", message=message),))
