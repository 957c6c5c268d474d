"""Node class rules. The acting admin is the user in the subject."""

from auth.consumers.subject import user_of
from auth.usecases.class_rules import ClassRuleChanger, ClassRuleReader
from chassis.messaging.bus import Bus
from contracts.auth.class_rules import CHANGE_CLASS_RULE, READ_CLASS_RULES, ChangeClassRule, ReadClassRules
from contracts.graph_policy.policy import OperatorRules
from contracts.wire.topic import Address


def register(bus: Bus, *, reader: ClassRuleReader, changer: ClassRuleChanger) -> None:
    async def read(_: ReadClassRules, __: Address) -> OperatorRules:
        return await reader.read()

    async def change(command: ChangeClassRule, address: Address) -> OperatorRules:
        return await changer.change(user_of(address), command)

    bus.serve(READ_CLASS_RULES, read)
    bus.serve(CHANGE_CLASS_RULE, change)
