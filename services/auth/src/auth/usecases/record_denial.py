from uuid import UUID

from auth.store import audit
from auth.store.audit import NewAuditEntry
from chassis.database.postgres import Database
from contracts.auth.audit import RecordDenial
from contracts.auth.fields import Done


class DenialRecorder:
    """Records requests that the public services refused for lack of rights."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record_denial(self, user_id: UUID, command: RecordDenial) -> Done:
        detail = {"what": command.what, "code": command.code, "key_id": command.key_id}
        async with self._database.transaction() as connection:
            await audit.append_entry(connection, NewAuditEntry("access.denied", user_id, user_id, command.ip, detail))
        return Done()
