"""Node class rules. The acting admin is the user in the subject."""

from auth.consumers.request_user import parse_user_id
from auth.usecases.manage_class_rules import ClassRuleChanger, ClassRuleReader
from chassis.messaging.bus import Bus
from contracts.auth.class_rules import CHANGE_CLASS_RULE, READ_CLASS_RULES, ChangeClassRule, ReadClassRules
from contracts.graph_policy.policy import OperatorRules
from contracts.wire.topic import Address


def register(bus: Bus, *, reader: ClassRuleReader, changer: ClassRuleChanger) -> None:
    async def read_class_rules(_: ReadClassRules, __: Address) -> OperatorRules:
        return await reader.read_rules()

    async def change_class_rule(command: ChangeClassRule, address: Address) -> OperatorRules:
        return await changer.change_rule(parse_user_id(address), command)

    bus.serve(READ_CLASS_RULES, read_class_rules)
    bus.serve(CHANGE_CLASS_RULE, change_class_rule)
