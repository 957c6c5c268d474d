"""Reads and changes the operators' rules about node classes."""

from uuid import UUID

from auth.domain.class_rules import merge_rules
from auth.store import audit, class_rules, users
from auth.store.audit import NewAuditEntry
from auth.store.class_rules import RuleSubject
from auth.usecases.announce_changes import Announcer
from auth.usecases.require_admin import require_admin
from chassis.database.postgres import Database
from contracts.auth.class_rules import ChangeClassRule, RuleVerdict, TooManyClassRules
from contracts.graph_policy.policy import ClassRules, OperatorRules

MAX_RULES = 1000  # each at most 800 bytes, so a reply stays below NATS's limit of 1 MiB


class ClassRuleReader:
    """Reads the rules in force.

    Args:
        settings: rules of auth's settings, which apply in addition to those of the database.
    """

    def __init__(self, database: Database, settings: ClassRules) -> None:
        self._database, self._settings = database, settings

    async def read_rules(self) -> OperatorRules:
        """Return the rules of the database and the settings, merged."""
        async with self._database.single() as connection:
            return merge_rules(await class_rules.read_rules(connection), self._settings)


class ClassRuleChanger:
    """Changes the rules in the database.

    Args:
        settings: rules of auth's settings, which apply in addition to those of the database.
    """

    def __init__(self, database: Database, settings: ClassRules, announcer: Announcer) -> None:
        self._database, self._settings, self._announcer = database, settings, announcer

    async def change_rule(self, actor_id: UUID, command: ChangeClassRule) -> OperatorRules:
        """Apply the change and return the rules in force. A change without effect is neither audited nor announced.

        Raises:
            MissingScope: the actor is not an active admin.
            TooManyClassRules: a new rule would exceed ``MAX_RULES``.
        """
        subject = RuleSubject.CLASS if command.pack is None else RuleSubject.PACK
        name = command.class_name or command.pack or ""
        async with self._database.direct() as connection:
            await users.lock_admins(connection)
            await require_admin(connection, actor_id)
            before = await class_rules.find_verdict(connection, subject, name)
            if before is command.verdict:
                return merge_rules(await class_rules.read_rules(connection), self._settings)
            if before is RuleVerdict.DEFAULT and await class_rules.count_rules(connection) >= MAX_RULES:
                raise TooManyClassRules(limit=MAX_RULES)
            await class_rules.save_verdict(connection, subject, name, command.verdict)
            detail = {subject.value: name, "before": before, "after": command.verdict}
            await audit.append_entry(
                connection, NewAuditEntry("class_rule.changed", actor_id, None, command.ip, detail)
            )
        return await self._announce_rules()

    async def _announce_rules(self) -> OperatorRules:
        """Publish the committed rules under a lock, so that the last message contains the last change."""
        async with self._database.direct() as connection:
            await users.lock_admins(connection)
            rules = merge_rules(await class_rules.read_rules(connection), self._settings)
            await self._announcer.announce_class_rules(rules)
        return rules
