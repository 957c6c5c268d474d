"""Reads the user from a NATS subject."""

from uuid import UUID

from contracts.auth.accounts import UnknownTenant
from contracts.wire.topic import Address


def parse_user_id(address: Address) -> UUID:
    """Return the id of the user in the subject.

    Raises:
        UnknownTenant: the subject contains no user id.
    """
    try:
        return UUID(address.tenant)
    except ValueError:
        raise UnknownTenant from None
