"""Operators' rules about node classes, as auth last said them."""

from chassis.database.statement import Connection, Statement
from contracts.graph_policy.policy import ClassRules

_READ = Statement("SELECT rules FROM class_rules")
_SAVE = Statement("""
INSERT INTO class_rules (rules) VALUES (CAST(:rules AS jsonb)) ON CONFLICT (one) DO UPDATE SET rules = excluded.rules
WHERE class_rules.rules IS DISTINCT FROM excluded.rules
""")


async def load(connection: Connection) -> ClassRules | None:
    """The rules as they were last saved, None if they never were."""
    found = await _READ.value(connection)
    return ClassRules.model_validate(found) if found is not None else None


async def save(connection: Connection, rules: ClassRules) -> None:
    """Keep the rules in place of any others."""
    await _SAVE.run(connection, rules=rules.model_dump_json())
