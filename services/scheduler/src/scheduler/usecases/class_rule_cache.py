"""Which node classes operators allow and deny. Asked of auth, heard from auth, kept here."""

from time import monotonic

from chassis.database.postgres import AWAY, Database
from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.auth.class_rules import READ_CLASS_RULES, ReadClassRules
from contracts.graph_policy.policy import ClassRules
from contracts.wire.errors import Kind, Relayed, Unavailable
from scheduler.store import class_rules

READ_EVERY_S = 5.0  # a change is heard at once; this is for one that was not
AWAY_S = 1.0  # between two questions on behalf of submits while auth is away and the rules were never read


class ClassRuleCache:
    """Keeps the rules in memory and in our own database, so that admission needs nobody else.

    While auth is away, the rules that it last said hold, also after a restart (decision record 0031).
    """

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database, self._bus = database, bus
        self._rules: ClassRules | None = None
        self._saved: ClassRules | None = None  # by this process
        self._heard = 0
        self._ask_again_at = 0.0

    async def current(self) -> ClassRules | None:
        """The rules in force; None if nobody ever said what they are."""
        if self._rules is None:
            async with self._database.single() as connection:
                saved = await class_rules.load(connection)
            if self._rules is None:  # else they came meanwhile
                self._rules = saved
        if self._rules is None and monotonic() >= self._ask_again_at:
            self._ask_again_at = monotonic() + AWAY_S
            await self.refresh()
        return self._rules

    async def refresh(self) -> None:
        """Ask auth; what cannot be asked stays as it is."""
        heard = self._heard
        try:
            rules = await self._bus.request(READ_CLASS_RULES, ReadClassRules())
        except (Unavailable, Relayed) as refusal:
            if refusal.refused.kind is not Kind.UNAVAILABLE:
                raise
            log.warning("scheduler.class_rules_stale", known=self._rules is not None)
            return
        if heard == self._heard:  # else the answer may be older than the change
            await self._keep(_plain(rules))

    async def hear(self, rules: ClassRules) -> None:
        """Apply a change at once."""
        self._heard += 1
        await self._keep(rules)

    async def _keep(self, rules: ClassRules) -> None:
        self._rules = rules
        if rules == self._saved:
            return
        try:
            async with self._database.single() as connection:
                await class_rules.save(connection, rules)
            self._saved = rules
        except AWAY as error:  # they hold in memory, and are asked for again
            log.warning("scheduler.class_rules_unsaved", error=type(error).__name__)


def _plain(rules: ClassRules) -> ClassRules:
    """The rules alone, without where each comes from."""
    return ClassRules(**{name: getattr(rules, name) for name in ClassRules.model_fields})
