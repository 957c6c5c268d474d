"""Audit log requests of admins. The acting admin is the user in the subject."""

from auth.consumers.subject import user_of
from auth.usecases.read_audit import AuditReader
from auth.usecases.record_action import ActionRecorder
from chassis.messaging.bus import Bus
from contracts.auth.audit import READ_AUDIT, RECORD_ACTION, AuditPage, ReadAudit, RecordAction
from contracts.auth.fields import Done
from contracts.wire.topic import Address


def register(bus: Bus, *, recorder: ActionRecorder, reader: AuditReader) -> None:
    async def record(command: RecordAction, address: Address) -> Done:
        return await recorder.record(user_of(address), command)

    async def read(query: ReadAudit, address: Address) -> AuditPage:
        return await reader.read(user_of(address), query)

    bus.serve(RECORD_ACTION, record)
    bus.serve(READ_AUDIT, read)
