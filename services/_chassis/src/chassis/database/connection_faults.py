"""Explains to an operator why a database cannot be used."""

import ssl
from collections.abc import Sequence

import asyncpg

from chassis.database.postgres import is_unavailable
from chassis.faults import Fault, explain_error

ADVICE_BY_ERROR: Sequence[tuple[type[BaseException], str]] = (
    (asyncpg.InvalidPasswordError, "Check user and password in DATABASE_URL."),
    (asyncpg.InvalidAuthorizationSpecificationError, "Check the user in DATABASE_URL, and pg_hba.conf of the server."),
    (asyncpg.InvalidCatalogNameError, "Create the database, or correct its name in DATABASE_URL."),
    (asyncpg.InsufficientPrivilegeError, "Make the role of DATABASE_URL the owner of the database."),
    (asyncpg.TooManyConnectionsError, "Raise max_connections of PostgreSQL, or lower DATABASE_POOL of the services."),
    (asyncpg.CannotConnectNowError, "Wait until PostgreSQL has started."),
    (asyncpg.TargetServerAttributeNotMatched, "Check which of the hosts in DATABASE_URL is the primary."),
    (asyncpg.LockNotAvailableError, "Wait until the transaction that holds the lock has ended, or end it."),
    (ssl.SSLError, "Check sslmode in DATABASE_URL, DATABASE_CA and the certificate of the server."),
    (FileNotFoundError, "Check the paths of DATABASE_CA and of the certificates in DATABASE_URL."),
)
"""What to do about an error; the first match counts."""
DEFAULT_ACTION = "Check that PostgreSQL runs, and the host and port in DATABASE_URL."


def describe_connection_fault(error: BaseException, where: str) -> Fault | None:
    """Return the fault that an error means; None if it is not a fault of the database but a bug.

    Args:
        error: raised while connecting or by a simple statement.
        where: hosts, database and user, without the password.
    """
    for kind, action in ADVICE_BY_ERROR:
        if isinstance(error, kind):
            return Fault("database", where, explain_error(error), action)
    return Fault("database", where, explain_error(error), DEFAULT_ACTION) if is_unavailable(error) else None
