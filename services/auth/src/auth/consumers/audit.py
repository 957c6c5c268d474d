"""Audit log requests of admins. The acting admin is the user in the subject."""

from auth.consumers.request_user import parse_user_id
from auth.usecases.read_audit import AuditReader
from auth.usecases.record_action import ActionRecorder
from chassis.messaging.bus import Bus
from contracts.auth.audit import READ_AUDIT, RECORD_ACTION, AuditPage, ReadAudit, RecordAction
from contracts.auth.fields import Done
from contracts.wire.topic import Address


def register(bus: Bus, *, recorder: ActionRecorder, reader: AuditReader) -> None:
    async def record_action(command: RecordAction, address: Address) -> Done:
        return await recorder.record_action(parse_user_id(address), command)

    async def read_audit(query: ReadAudit, address: Address) -> AuditPage:
        return await reader.read_entries(parse_user_id(address), query)

    bus.serve(RECORD_ACTION, record_action)
    bus.serve(READ_AUDIT, read_audit)
