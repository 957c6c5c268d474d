"""Refusals of administration."""

from contracts.wire.errors import Kind, Refusal


class UnknownTier(Refusal):
    """There is no such tier. GET /api/v1/admin/tiers lists all."""

    kind, code = Kind.NOT_FOUND, "auth.tier.not_found"
