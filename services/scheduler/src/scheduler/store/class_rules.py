"""The operators' node class rules, as last received from auth."""

from chassis.database.statement import Connection, Statement
from contracts.graph_policy.policy import ClassRules

_LOAD = Statement("SELECT rules FROM class_rules")
_SAVE = Statement("""
INSERT INTO class_rules (rules) VALUES (CAST(:rules AS jsonb)) ON CONFLICT (one) DO UPDATE SET rules = excluded.rules
WHERE class_rules.rules IS DISTINCT FROM excluded.rules
""")


async def load_rules(connection: Connection) -> ClassRules | None:
    """Load the last saved rules; None if no rules were ever saved."""
    found = await _LOAD.fetch_value(connection)
    return ClassRules.model_validate(found) if found is not None else None


async def save_rules(connection: Connection, rules: ClassRules) -> None:
    """Replace the saved rules."""
    await _SAVE.execute(connection, rules=rules.model_dump_json())
