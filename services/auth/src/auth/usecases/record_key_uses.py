"""Records when API keys were last used."""

from datetime import datetime

from auth.store import keys
from chassis.database.postgres import Database, is_unavailable
from contracts.auth.keys import KeysUsed

MAX_PENDING_USES = 10_000  # kept between two writes; excess ones are dropped and reported again at the key's next use


class KeyUseRecorder:
    """Collects reported uses and writes them in batches."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._uses: dict[str, datetime] = {}

    def add_uses(self, used: KeysUsed) -> None:
        """Keep the uses until the next ``flush``."""
        for key_id, at in used.uses.items():
            recorded = self._uses.get(key_id)
            if recorded is None and len(self._uses) >= MAX_PENDING_USES:
                continue
            if at.tzinfo is not None and (recorded is None or recorded < at):
                self._uses[key_id] = at

    async def flush(self) -> None:
        """Write the collected uses. A key's time never decreases and never exceeds the current time.

        Uses are kept while the database is unavailable. A use that cannot be stored is dropped, since it would always
        fail.
        """
        if not self._uses:
            return
        writing, self._uses = self._uses, {}
        try:
            async with self._database.single() as connection:
                await keys.record_uses(connection, writing)
        except Exception as error:
            if is_unavailable(error):
                self.add_uses(KeysUsed(uses=writing))
            raise
