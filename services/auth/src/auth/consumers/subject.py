"""Whom a request is about."""

from uuid import UUID

from contracts.auth.accounts import UnknownTenant
from contracts.wire.topic import Address


def user_of(address: Address) -> UUID:
    """The user in a subject.

    Raises:
        UnknownTenant: it names none.
    """
    try:
        return UUID(address.tenant)
    except ValueError:
        raise UnknownTenant from None
