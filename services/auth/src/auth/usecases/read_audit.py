from uuid import UUID

from auth.store import audit
from auth.store.audit import NewAuditEntry
from auth.usecases.require_admin import require_admin
from chassis.database.postgres import Database
from contracts.auth.audit import AuditEntry, AuditPage, ReadAudit


class AuditReader:
    """Reads the audit log for admins and records each read in it. ``auth audit verify`` checks its integrity."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read_entries(self, actor_id: UUID, query: ReadAudit) -> AuditPage:
        """Return one page, newest first.

        Raises:
            MissingScope: the actor is not an active admin.
        """
        async with self._database.transaction() as connection:
            await require_admin(connection, actor_id)
            found = await audit.list_entries(connection, query)
            detail = query.model_dump(mode="json", exclude_none=True)
            await audit.append_entry(connection, NewAuditEntry("audit.read", actor_id, None, None, detail))
        entries = tuple(AuditEntry(**entry.as_json(), hash=hash_.hex()) for entry, hash_ in found[: query.limit])
        return AuditPage(entries=entries, more=len(found) > query.limit)
