"""Errors of requests for administration."""

from contracts.wire.errors import ErrorKind, Refusal


class UnknownTier(Refusal):
    """There is no such tier. GET /api/v1/admin/tiers lists all."""

    kind, code = ErrorKind.NOT_FOUND, "auth.tier.not_found"
