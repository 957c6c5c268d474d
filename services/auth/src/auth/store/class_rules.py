"""Operator rules about node classes in PostgreSQL."""

from enum import StrEnum

from chassis.database.statement import Connection, Statement
from contracts.auth.class_rules import RuleVerdict
from contracts.graph_policy.policy import ClassRules


class RuleSubject(StrEnum):
    CLASS = "class"
    PACK = "pack"


_FIELDS = {
    (RuleSubject.CLASS, RuleVerdict.ALLOW): "allowed_classes",
    (RuleSubject.CLASS, RuleVerdict.DENY): "denied_classes",
    (RuleSubject.PACK, RuleVerdict.ALLOW): "allowed_packs",
    (RuleSubject.PACK, RuleVerdict.DENY): "denied_packs",
}
_ALL = Statement("SELECT kind, name, verdict FROM class_rules ORDER BY name")
_FIND = Statement("SELECT verdict FROM class_rules WHERE kind = :kind AND name = :name")
_COUNT = Statement("SELECT count(*) FROM class_rules")
_SAVE = Statement("""
INSERT INTO class_rules (kind, name, verdict) VALUES (:kind, :name, :verdict)
ON CONFLICT (kind, name) DO UPDATE SET verdict = excluded.verdict, changed_at = now()
""")
_REMOVE = Statement("DELETE FROM class_rules WHERE kind = :kind AND name = :name")


async def read_rules(connection: Connection) -> ClassRules:
    found: dict[str, list[str]] = {field: [] for field in _FIELDS.values()}
    for row in await _ALL.fetch_all(connection):
        found[_FIELDS[RuleSubject(row["kind"]), RuleVerdict(row["verdict"])]].append(row["name"])
    return ClassRules.model_validate(found)


async def find_verdict(connection: Connection, subject: RuleSubject, name: str) -> RuleVerdict:
    """Return the rule for this name, ``DEFAULT`` when there is none."""
    verdict = await _FIND.fetch_value(connection, kind=subject, name=name)
    return RuleVerdict.DEFAULT if verdict is None else RuleVerdict(verdict)


async def count_rules(connection: Connection) -> int:
    number: int = await _COUNT.fetch_value(connection)
    return number


async def save_verdict(connection: Connection, subject: RuleSubject, name: str, verdict: RuleVerdict) -> None:
    """Create or change the rule for this name; ``DEFAULT`` removes it."""
    if verdict is RuleVerdict.DEFAULT:
        await _REMOVE.execute(connection, kind=subject, name=name)
    else:
        await _SAVE.execute(connection, kind=subject, name=name, verdict=verdict)
