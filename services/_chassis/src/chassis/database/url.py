"""PostgreSQL URLs as libpq reads them, and what asyncpg needs to connect to them."""

import re
import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, quote, unquote, urlencode

DEFAULT_PORT = 5432
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
VERIFYING_MODES = ("verify-ca", "verify-full")
TLS_ONLY = ("require", *VERIFYING_MODES)
SUPPORTED_PARAMETERS = frozenset(
    {
        "host",
        "port",
        "user",
        "password",
        "dbname",
        "sslmode",
        "ssl",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "sslpassword",
        "target_session_attrs",
        "application_name",
        "connect_timeout",
        "channel_binding",
        "gssencmode",
    }
)
SESSION_ATTRIBUTES = ("any", "primary", "standby", "prefer-standby", "read-write", "read-only")
SYSTEM_CAS = "system"

_SCHEME = re.compile(r"(postgres|postgresql)(\+\w+)?://")
_QUERY = re.compile(r"\?([a-z_]+=[^?@]*)?$")  # a question mark in a password is followed by an @
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


class InvalidDatabaseUrl(ValueError):
    """A database URL that cannot be used. The message does not contain the URL, which has a password."""


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """Where a database is and how to log in.

    Attributes:
        hosts: host names, addresses or folders of Unix sockets, each with its port, in order of preference.
        sslmode: libpq's ``sslmode``; None is libpq's default, ``prefer``, if there is no CA.
        ca: file with the certificates that the server's certificate is verified with; ``system``: those of the system.
        target_session_attrs: which of several hosts to use; as in libpq.
    """

    hosts: tuple[tuple[str, int], ...]
    user: str | None
    password: str | None = field(repr=False)
    database: str
    sslmode: str | None = None
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    key_password: str | None = field(default=None, repr=False)
    target_session_attrs: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a URL.

        The schemes are ``postgres``, ``postgresql`` and SQLAlchemy's ``postgresql+driver``. Special characters in user
        and password may be percent-encoded; only ``%`` must be (``%25``), if two hexadecimal digits follow it.

        Raises:
            InvalidDatabaseUrl: the text is not such a URL, or has a parameter that is not supported.
        """
        scheme = _SCHEME.match(text)
        if scheme is None:
            raise InvalidDatabaseUrl("A database URL starts with postgresql:// or postgres://.")
        rest = text[scheme.end() :]
        query = _QUERY.search(rest)
        parameters = _parse_parameters(query[1] or "") if query else {}
        login, at, place = rest[: query.start() if query else None].rpartition("@")
        user, _, password = login.partition(":")
        hosts, _, database = place.partition("/")
        return cls(
            hosts=_parse_hosts(parameters.get("host") or unquote(hosts), parameters.get("port")),
            user=parameters.get("user") or unquote(user) or None,
            password=parameters.get("password") or (unquote(password) or None if at else None),
            database=parameters.get("dbname") or unquote(database),
            sslmode=_parse_ssl_mode(parameters),
            ca=parameters.get("sslrootcert"),
            certificate=parameters.get("sslcert"),
            key=parameters.get("sslkey"),
            key_password=parameters.get("sslpassword"),
            target_session_attrs=_check_session_attributes(parameters.get("target_session_attrs")),
        )

    def replace_database(self, name: str) -> Self:
        """Return this URL for another database of the same server."""
        return replace(self, database=name)

    def add_ca(self, ca: Path) -> Self:
        """Return this URL with a CA file, unless it names one. The mode becomes ``verify-full`` if it has none.

        Raises:
            InvalidDatabaseUrl: the mode does not verify the server.
        """
        return replace(self, ca=self.ca or str(ca), sslmode=_choose_verified_mode(self.sslmode))

    @property
    def address(self) -> str:
        """Hosts, database and user, without the password."""
        hosts = ",".join(f"{f'[{host}]' if ':' in host else host}:{port}" for host, port in self.hosts)
        return f"{hosts}/{self.database}" + (f" as {self.user}" if self.user else "")

    def render(self) -> str:
        """Return the URL as text, which libpq's programs also accept. It contains the password."""
        login = quote(self.user or "", safe="")
        if self.password is not None:
            login += f":{quote(self.password, safe='')}"
        hosts = ",".join(f"{f'[{host}]' if ':' in host else quote(host, safe='')}:{port}" for host, port in self.hosts)
        parameters = {
            "sslmode": self.sslmode,
            "sslrootcert": self.ca,
            "sslcert": self.certificate,
            "sslkey": self.key,
            "sslpassword": self.key_password,
            "target_session_attrs": self.target_session_attrs,
        }
        query = urlencode({name: value for name, value in parameters.items() if value is not None})
        return (
            f"postgresql://{login}{'@' if login else ''}{hosts}/{quote(self.database, safe='')}"
            f"{'?' if query else ''}{query}"
        )

    def build_connect_arguments(self) -> dict[str, Any]:
        """Return what ``asyncpg.connect`` takes, except hosts and ports.

        Raises:
            OSError: a certificate cannot be read.
        """
        several = len(self.hosts) > 1
        arguments: dict[str, Any] = {
            "user": self.user,
            "password": self.password,
            "database": self.database or None,
            "target_session_attrs": self.target_session_attrs or ("read-write" if several else "any"),
        }
        if self.sslmode is not None:
            arguments["ssl"] = self._build_ssl_argument(self.sslmode)
        return arguments

    def _build_ssl_argument(self, mode: str) -> ssl.SSLContext | str | bool:
        if mode == "disable":
            return False
        is_verified = mode in VERIFYING_MODES or (mode == "require" and self.ca is not None)  # as in libpq
        if not is_verified and self.certificate is None:
            return mode
        context = ssl.create_default_context(cafile=None if self.ca in {None, SYSTEM_CAS} else self.ca)
        context.check_hostname = mode == "verify-full"
        if not is_verified:
            context.verify_mode = ssl.CERT_NONE
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key, self.key_password)
        return context


def _parse_parameters(query: str) -> dict[str, str]:
    found = dict(parse_qsl(_PERCENT.sub("%25", query), keep_blank_values=True))
    unknown = sorted(found.keys() - SUPPORTED_PARAMETERS)
    if unknown:
        raise InvalidDatabaseUrl(
            f"A database URL has the unsupported parameter {', '.join(unknown)}. "
            f"Supported: {', '.join(sorted(SUPPORTED_PARAMETERS))}."
        )
    for name in ("channel_binding", "gssencmode"):
        if found.get(name) == "require":
            raise InvalidDatabaseUrl(f"{name}=require is not supported. Use sslmode=verify-full.")
    return {name: value for name, value in found.items() if value}


def _parse_ssl_mode(parameters: dict[str, str]) -> str | None:
    mode = parameters.get("sslmode") or parameters.get("ssl")
    mode = {"true": "require", "false": "disable", "1": "require", "0": "disable"}.get(mode or "", mode)
    if mode is not None and mode not in SSL_MODES:
        raise InvalidDatabaseUrl(f"sslmode must be one of {', '.join(SSL_MODES)}.")
    ca = parameters.get("sslrootcert")
    if ca == SYSTEM_CAS and mode not in {None, "verify-full"}:
        raise InvalidDatabaseUrl("sslrootcert=system needs sslmode=verify-full.")
    if parameters.get("sslcert") and mode not in TLS_ONLY:
        raise InvalidDatabaseUrl("sslcert needs sslmode=require, verify-ca or verify-full.")
    return _choose_verified_mode(mode) if ca else mode


def _choose_verified_mode(mode: str | None) -> str:
    if mode not in {None, *TLS_ONLY}:
        raise InvalidDatabaseUrl(
            f"sslmode={mode} does not verify the server, but a CA is given. Use sslmode=verify-full."
        )
    return mode or "verify-full"


def _check_session_attributes(text: str | None) -> str | None:
    if text is not None and text not in SESSION_ATTRIBUTES:
        raise InvalidDatabaseUrl(f"target_session_attrs is one of {', '.join(SESSION_ATTRIBUTES)}.")
    return text


def _parse_hosts(text: str, ports: str | None) -> tuple[tuple[str, int], ...]:
    """Read hosts as in ``a:5432,[::1]``; ``ports`` holds one port for all or one for each."""
    names = text.split(",") if text else ["localhost"]
    numbers = (ports or "").split(",")
    if len(numbers) == 1:
        numbers *= len(names)
    if len(numbers) != len(names):
        raise InvalidDatabaseUrl("A database URL has one port for all hosts, or one for each.")
    return tuple(_parse_host(name, number) for name, number in zip(names, numbers, strict=True))


def _parse_host(text: str, port: str) -> tuple[str, int]:
    bracketed = re.fullmatch(r"\[([^\]]+)\](?::(.*))?", text)
    if bracketed:
        host, own_port = bracketed[1], bracketed[2]
    elif text.startswith("/"):
        folder = re.fullmatch(r"(/.*?)(?::(\d+))?", text)
        host, own_port = (folder[1], folder[2]) if folder else (text, None)
    else:
        host, _, own_port = text.partition(":")
    number = own_port or port or str(DEFAULT_PORT)
    if not number.isdecimal() or not 0 < int(number) < 1 << 16:
        raise InvalidDatabaseUrl("A port in a database URL is a number from 1 to 65535.")
    return host or "localhost", int(number)
