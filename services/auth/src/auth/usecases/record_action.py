"""An admin is about to do something that another service does."""

from uuid import UUID

from auth.store import audit
from auth.store.audit import Entry
from auth.usecases.acting_admin import require_admin
from chassis.database.postgres import Database
from contracts.audit import RecordAction
from contracts.auth import Done


class ActionRecorder:
    """Keeps what admins do elsewhere. It is written before it is done: nothing is done that is not in the log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, actor_id: UUID, command: RecordAction) -> Done:
        """Write it to the audit log.

        Raises:
            MissingScope: who acts is not an active admin.
        """
        detail = command.detail | ({"key_id": command.key_id} if command.key_id else {})
        async with self._database.direct() as connection:
            await require_admin(connection, actor_id)
            await audit.record(connection, Entry(command.action, actor_id, command.subject_id, command.ip, detail))
        return Done()
