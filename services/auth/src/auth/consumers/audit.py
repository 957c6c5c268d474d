"""Audit log: actions of admins, denials, and the log itself. The acting user is the user in the subject."""

from auth.consumers.request_user import parse_user_id
from auth.usecases.read_audit import AuditReader
from auth.usecases.record_action import ActionRecorder
from auth.usecases.record_denial import DenialRecorder
from chassis.messaging.bus import Bus
from contracts.auth.audit import (
    READ_AUDIT,
    RECORD_ACTION,
    RECORD_DENIAL,
    AuditPage,
    ReadAudit,
    RecordAction,
    RecordDenial,
)
from contracts.auth.fields import Done
from contracts.wire.topic import Address


def register(
    bus: Bus, *, action_recorder: ActionRecorder, denial_recorder: DenialRecorder, reader: AuditReader
) -> None:
    async def record_action(command: RecordAction, address: Address) -> Done:
        return await action_recorder.record_action(parse_user_id(address), command)

    async def record_denial(command: RecordDenial, address: Address) -> Done:
        return await denial_recorder.record_denial(parse_user_id(address), command)

    async def read_audit(query: ReadAudit, address: Address) -> AuditPage:
        return await reader.read_entries(parse_user_id(address), query)

    bus.serve(RECORD_ACTION, record_action)
    bus.serve(RECORD_DENIAL, record_denial)
    bus.serve(READ_AUDIT, read_audit)
