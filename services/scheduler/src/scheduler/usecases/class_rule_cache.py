"""Caches the operators' node class rules, which auth owns."""

from time import monotonic

from chassis.database.postgres import UNAVAILABLE_ERRORS, Database
from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.auth.class_rules import READ_CLASS_RULES, ReadClassRules
from contracts.graph_policy.policy import ClassRules
from contracts.wire.errors import ErrorKind, RelayedRefusal, Unavailable
from scheduler.store import class_rules

READ_EVERY_S = 5.0  # changes arrive as events at once; polling covers a lost event
RETRY_S = 1.0  # pause between two requests to auth while no rules are known


class ClassRuleCache:
    """Caches the rules in memory and in the scheduler's database, so that admission does not depend on auth.

    While auth is unavailable, the last known rules apply, also after a restart (decision record 0031).
    """

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database, self._bus = database, bus
        self._rules: ClassRules | None = None
        self._saved: ClassRules | None = None  # what this process last wrote to the database
        self._changes = 0
        self._retry_at = 0.0

    async def load_rules(self) -> ClassRules | None:
        """Return the rules in force; None if auth has never sent any."""
        if self._rules is None:
            async with self._database.connection() as connection:
                saved = await class_rules.load_rules(connection)
            if self._rules is None:  # rules may have arrived during the await
                self._rules = saved
        if self._rules is None and monotonic() >= self._retry_at:
            self._retry_at = monotonic() + RETRY_S
            await self.refresh_rules()
        return self._rules

    async def refresh_rules(self) -> None:
        """Request the rules from auth. While auth is unavailable the known rules stay."""
        changes = self._changes
        try:
            rules = await self._bus.request(READ_CLASS_RULES, ReadClassRules())
        except (Unavailable, RelayedRefusal) as refusal:
            if refusal.details.kind is not ErrorKind.UNAVAILABLE:
                raise
            log.warning("scheduler.class_rules_stale", known=self._rules is not None)
            return
        if changes == self._changes:  # otherwise the answer may be older than a change that arrived in the meantime
            await self._save_rules(_drop_sources(rules))

    async def apply_change(self, rules: ClassRules) -> None:
        """Apply a change event."""
        self._changes += 1
        await self._save_rules(rules)

    async def _save_rules(self, rules: ClassRules) -> None:
        self._rules = rules
        if rules == self._saved:
            return
        try:
            async with self._database.connection() as connection:
                await class_rules.save_rules(connection, rules)
            self._saved = rules
        except (
            UNAVAILABLE_ERRORS
        ) as error:  # the rules apply from memory, and the next refresh tries to save them again
            log.warning("scheduler.class_rules_unsaved", error=type(error).__name__)


def _drop_sources(rules: ClassRules) -> ClassRules:
    """Drop the source of each rule, which ``OperatorRules`` adds."""
    return ClassRules(**{name: getattr(rules, name) for name in ClassRules.model_fields})
