"""How long the gateway waits for its database."""

from dataclasses import dataclass

from chassis.database.postgres import CONNECT_TIMEOUT_S

FETCH_TOKENS_TIMEOUT_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeouts:
    """Timeouts in seconds.

    Attributes:
        connect_s: time to connect to the database, and to wait for a free connection.
        fetch_tokens_s: after this time the database of the rate limits counts as unavailable.
    """

    connect_s: float = CONNECT_TIMEOUT_S
    fetch_tokens_s: float = FETCH_TOKENS_TIMEOUT_S
