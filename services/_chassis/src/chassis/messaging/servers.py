"""NATS servers of a service: URLs, credentials and TLS."""

import ssl
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

DEFAULT_PORT = 4222
URL_SCHEMES = ("nats", "tls")


@dataclass(frozen=True, slots=True)
class NatsServers:
    """The servers of one NATS cluster.

    Attributes:
        urls: URLs of the servers, without credentials.
        user, password: credentials from the URLs; None if they have none.
        requires_tls: whether a URL has the scheme ``tls``.
    """

    urls: tuple[str, ...]
    user: str | None
    password: str | None
    requires_tls: bool


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files for connections over TLS.

    Attributes:
        ca: certificates that sign the servers' certificates; None for those that the system trusts.
        cert, key: the client's certificate and key, for servers that verify clients.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def create_ssl_context(self) -> ssl.SSLContext:
        """Return a context that verifies the server's certificate and name.

        Raises:
            OSError: a file cannot be read, or is not a certificate or key.
        """
        if self == TlsFiles():
            return _create_system_ssl_context()
        context = ssl.create_default_context(cafile=self.ca)
        if self.cert is not None:
            context.load_cert_chain(self.cert, self.key)
        return context


@cache
def _create_system_ssl_context() -> ssl.SSLContext:
    """Return a context with the certificates that the system trusts. Loading them takes 50 ms of CPU."""
    return ssl.create_default_context()


def parse_servers(text: str) -> NatsServers:
    """Parse comma-separated URLs.

    User and password, or a token in place of the user, may be part of them: percent-encoded, the same in all.

    Raises:
        ValueError: a URL is invalid, or they have different credentials.
    """
    urls, credentials, schemes = [], set(), set()
    for number, url in enumerate(text.split(","), start=1):
        example = "nats://127.0.0.1:4222"
        parts = urlsplit(url.strip())
        try:
            host, port = parts.hostname, parts.port or DEFAULT_PORT
        except ValueError:
            host, port = None, 0
        if parts.scheme not in URL_SCHEMES or not host or parts.path.strip("/") or parts.query or parts.fragment:
            # The URL is not repeated: it may contain a password.
            raise ValueError(
                f"NATS URL number {number} is invalid. Write {example} or tls://nats.example:4222, several of them "
                "separated by commas, and percent-encode special characters of a user and password."
            )
        urls.append(f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}")
        schemes.add(parts.scheme)
        credentials.add((parts.username, parts.password))
    if len(credentials) > 1:
        raise ValueError("All NATS URLs must have the same user and password, or none.")
    user, password = (unquote(one) if one is not None else None for one in credentials.pop())
    return NatsServers(tuple(urls), user, password, requires_tls="tls" in schemes)
