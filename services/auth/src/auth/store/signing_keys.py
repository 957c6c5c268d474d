"""The keys that sign access tokens, sealed."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from chassis.database.statement import Connection, Statement

_LOCK_KEY = 0x6B6579736574  # "keyset"


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A signing key as it is kept.

    Attributes:
        signs: its time has come.
        due: it has signed for its life.
        now: the transaction's time by the database's clock, which alone counts.
    """

    kid: str
    private_key: bytes
    signs: bool
    due: bool
    now: datetime


_LOCK = Statement("SELECT pg_advisory_xact_lock(:key)")
_COLUMNS = """
kid, private_key, signs_from <= now() AS signs, signs_from <= now() - CAST(:life AS interval) AS due, now() AS now
"""
_YOUNGEST = Statement(f"""
SELECT {_COLUMNS} FROM signing_keys ORDER BY signs_from DESC, kid LIMIT 1
""")  # noqa: S608 - constants only
_SIGNING = Statement(f"""
SELECT {_COLUMNS} FROM signing_keys WHERE signs_from <= now() ORDER BY signs_from DESC, kid LIMIT 1
""")  # noqa: S608 - constants only
_EVERY = Statement("SELECT kid, public_key FROM signing_keys ORDER BY signs_from DESC, kid")
_ADD = Statement("""
INSERT INTO signing_keys (kid, public_key, private_key, signs_from)
VALUES (:kid, :public_key, :private_key, now() + CAST(:in_ AS interval))
""")
# A key signs until the next one does, and is of use until the last token that it signed has expired.
_PRUNE = Statement("""
DELETE FROM signing_keys old
WHERE EXISTS (SELECT 1 FROM signing_keys young
              WHERE young.signs_from > old.signs_from AND young.signs_from < now() - CAST(:token_life AS interval))
""")
_CLEAR = Statement("DELETE FROM signing_keys")


async def hold(connection: Connection) -> None:
    """Have nobody else add or remove keys until the transaction ends."""
    await _LOCK.run(connection, key=_LOCK_KEY)


async def youngest(connection: Connection, *, life: timedelta) -> SealedKey | None:
    """The key that was made last."""
    row = await _YOUNGEST.first(connection, life=life)
    return SealedKey(**row) if row else None


async def signing(connection: Connection, *, life: timedelta) -> SealedKey | None:
    """The key to sign with in this transaction."""
    row = await _SIGNING.first(connection, life=life)
    return SealedKey(**row) if row else None


async def every(connection: Connection) -> list[tuple[str, bytes]]:
    """Name and public half of every key, youngest first."""
    return [(row["kid"], row["public_key"]) for row in await _EVERY.all(connection)]


async def add(connection: Connection, *, kid: str, public_key: bytes, private_key: bytes, in_: timedelta) -> None:
    """Keep a key that signs from then on."""
    await _ADD.run(connection, kid=kid, public_key=public_key, private_key=private_key, in_=in_)


async def prune(connection: Connection, *, token_life: timedelta) -> None:
    """Remove keys all of whose tokens have expired."""
    await _PRUNE.run(connection, token_life=token_life)


async def clear(connection: Connection) -> None:
    """Remove every key; what they signed is void."""
    await _CLEAR.run(connection)
