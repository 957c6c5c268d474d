"""When was a key last used?"""

from datetime import datetime

from auth.store import keys
from chassis.database.postgres import Database, is_away
from contracts.auth import KeysUsed

MOST = 10_000  # of them kept between two writes; more are dropped, and told again with the key's next use


class UseNotes:
    """Gathers what doors tell of keys, and writes it together."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._uses: dict[str, datetime] = {}

    def add(self, used: KeysUsed) -> None:
        """Remember until the next ``write``."""
        for key_id, at in used.uses.items():
            known = self._uses.get(key_id)
            if known is None and len(self._uses) >= MOST:
                continue
            if at.tzinfo is not None and (known is None or known < at):
                self._uses[key_id] = at

    async def write(self) -> None:
        """Write what was gathered; a key's time only goes forward, and never past now.

        While the database is away it is kept. What cannot be written at all is dropped: it would fail again and again.
        """
        if not self._uses:
            return
        writing, self._uses = self._uses, {}
        try:
            async with self._database.single() as connection:
                await keys.note_uses(connection, writing)
        except Exception as error:
            if is_away(error):
                self.add(KeysUsed(uses=writing))
            raise
