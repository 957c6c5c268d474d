"""WebSocket tickets in PostgreSQL."""

from dataclasses import dataclass

from chassis.database.expired_rows import ExpiredRows
from chassis.database.statement import Connection, Statement
from contracts.auth.credentials import Principal
from contracts.auth.tickets import TICKET_LIFETIME_S


@dataclass(frozen=True, slots=True)
class RedeemedTicket:
    """A used ticket. ``is_valid``: neither the ticket nor its credential had expired."""

    principal: Principal
    origin: str | None
    is_valid: bool


_ADD = Statement("""
INSERT INTO ws_tickets (digest, user_id, key_id, session_id, principal, origin, expires_at)
VALUES (:digest, :user_id, :key_id, :session_id, :principal, :origin,
    least(now() + make_interval(secs => CAST(:life AS float8)), CAST(:ends AS timestamptz)))
RETURNING extract(epoch FROM expires_at - now())::float8
""")
_REDEEM = Statement("""
WITH redeemed AS (DELETE FROM ws_tickets WHERE digest = :digest RETURNING *)
SELECT t.principal, t.origin,
    t.expires_at > now() AND u.is_active AND CASE
        WHEN t.key_id IS NOT NULL THEN k.id IS NOT NULL AND k.revoked_at IS NULL
        ELSE s.id IS NOT NULL AND s.ended_at IS NULL AND (t.principal->>'version')::bigint >= u.tokens_from
    END AS is_valid
FROM redeemed t JOIN users u ON u.id = t.user_id
LEFT JOIN api_keys k ON k.id = t.key_id
LEFT JOIN sessions s ON s.id = t.session_id
""")
EXPIRED_TICKETS = ExpiredRows("ws_tickets", "expires_at < now() - interval '1 minute'")


async def add_ticket(connection: Connection, digest: bytes, principal: Principal, origin: str | None) -> float:
    """Store a ticket for ``TICKET_LIFETIME_S`` but not beyond its credential; returns its lifetime in seconds."""
    lifetime_s: float = await _ADD.value(
        connection,
        digest=digest,
        user_id=principal.user_id,
        key_id=principal.key_id,
        session_id=principal.session_id,
        principal=principal.model_dump_json(),
        origin=origin,
        life=TICKET_LIFETIME_S,
        ends=principal.expires_at,
    )
    return lifetime_s


async def redeem_ticket(connection: Connection, digest: bytes) -> RedeemedTicket | None:
    """Delete and return the ticket with that digest, so that it works once."""
    row = await _REDEEM.first(connection, digest=digest)
    if row is None:
        return None
    return RedeemedTicket(Principal.model_validate(row["principal"]), row["origin"], row["is_valid"])
