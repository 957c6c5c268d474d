"""Records admin actions that other services execute."""

from uuid import UUID

from auth.store import audit
from auth.store.audit import NewAuditEntry
from auth.usecases.require_admin import require_admin
from chassis.database.postgres import Database
from contracts.auth.audit import RecordAction
from contracts.auth.fields import Done


class ActionRecorder:
    """Records an action before it is executed, so that no action is missing from the log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record_action(self, actor_id: UUID, command: RecordAction) -> Done:
        """Append the action to the audit log.

        Raises:
            MissingScope: the actor is not an active admin.
        """
        detail = command.detail | ({"key_id": command.key_id} if command.key_id else {})
        async with self._database.transaction() as connection:
            await require_admin(connection, actor_id)
            await audit.append_entry(
                connection, NewAuditEntry(command.action, actor_id, command.subject_id, command.ip, detail)
            )
        return Done()
