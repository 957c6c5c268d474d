"""Operators' rules that allow or deny node classes and packs."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import ValidationError

from chassis.messaging.metadata import Metadata
from contracts.auth.accounts import Role
from contracts.auth.class_rules import (
    CHANGE_CLASS_RULE,
    CLASS_RULES_CHANGED,
    READ_CLASS_RULES,
    ChangeClassRule,
    ReadClassRules,
    RuleVerdict,
)
from contracts.graph_policy.policy import ClassRules, OperatorRules
from contracts.wire.errors import ErrorKind
from tests.integration.auth.conftest import System, settings_for, system_at
from tests.integration.auth.people import Person, somebody
from tests.kit.nats import running_nats
from tests.kit.postgres import PostgresServer

ALLOW, DENY, DEFAULT = RuleVerdict
FROM_SETTINGS: dict[str, Any] = {"allowed_classes": "RegexMatch, SaveLatent", "denied_packs": "custom_nodes.evil"}


@pytest.fixture
async def admin(system: System) -> AsyncIterator[Person]:
    yield await somebody(system, Role.ADMIN)
    await system.sql.execute("DELETE FROM class_rules")


async def change(admin: Person, verdict: RuleVerdict, **names: str) -> OperatorRules:
    rules: OperatorRules = await admin.ask(CHANGE_CLASS_RULE, ChangeClassRule(verdict=verdict, ip="192.0.2.1", **names))
    return rules


async def rules_of(system: System) -> OperatorRules:
    return await system.bus.request(READ_CLASS_RULES, ReadClassRules())


@asynccontextmanager
async def announced(system: System) -> AsyncIterator[asyncio.Queue[ClassRules]]:
    """Subscribe to the rules that auth publishes for the scheduler; yield a queue that receives them."""
    heard: asyncio.Queue[ClassRules] = asyncio.Queue()

    async def hear(message: ClassRules, _: Metadata) -> None:
        heard.put_nowait(message)

    close = await system.bus.subscribe(CLASS_RULES_CHANGED, hear)
    await rules_of(system)  # the reply shows that the server has registered the subscription
    yield heard
    await close()


async def audited(admin: Person) -> list[dict[str, Any]]:
    sql = "SELECT detail::text FROM audit_log WHERE actor_id = $1 AND action = 'class_rule.changed' ORDER BY id"
    return [json.loads(row["detail"]) for row in await admin.system.sql.fetch(sql, admin.id)]


async def test_class_rule_is_created_changed_and_removed(system: System, admin: Person) -> None:
    assert await rules_of(system) == OperatorRules()
    assert (await change(admin, ALLOW, class_name="Wildcard //Inspire")).allowed_classes == ("Wildcard //Inspire",)
    assert (await change(admin, DENY, pack="custom_nodes.evil")).denied_packs == ("custom_nodes.evil",)
    changed = await change(admin, DENY, class_name="Wildcard //Inspire")
    assert changed == OperatorRules(denied_classes=("Wildcard //Inspire",), denied_packs=("custom_nodes.evil",))
    assert await rules_of(system) == changed
    await change(admin, DEFAULT, pack="custom_nodes.evil")
    assert await change(admin, DEFAULT, class_name="Wildcard //Inspire") == OperatorRules() == await rules_of(system)


async def test_class_and_pack_of_the_same_name_have_separate_rules(admin: Person) -> None:
    await change(admin, ALLOW, class_name="same")
    rules = await change(admin, DENY, pack="same")
    assert (rules.allowed_classes, rules.denied_packs) == (("same",), ("same",))


async def test_repeated_class_rule_change_is_audited_and_announced_once(system: System, admin: Person) -> None:
    async with announced(system) as heard:
        for verdict in (ALLOW, ALLOW, DENY, DEFAULT, DEFAULT):
            await change(admin, verdict, class_name="RegexMatch")
        async with asyncio.timeout(10):
            assert [await heard.get() for _ in range(3)] == [
                ClassRules(allowed_classes=("RegexMatch",)),
                ClassRules(denied_classes=("RegexMatch",)),
                ClassRules(),
            ]
        assert heard.empty()
    assert await audited(admin) == [
        {"class": "RegexMatch", "before": "default", "after": "allow"},
        {"class": "RegexMatch", "before": "allow", "after": "deny"},
        {"class": "RegexMatch", "before": "deny", "after": "default"},
    ]


async def test_announced_class_rule_is_already_readable(system: System, admin: Person) -> None:
    async with announced(system) as heard:
        asking = asyncio.create_task(change(admin, ALLOW, class_name="RegexMatch"))
        async with asyncio.timeout(10):
            await heard.get()
        assert (await rules_of(system)).allowed_classes == ("RegexMatch",)
        await asking


async def test_last_announcement_contains_all_simultaneous_rule_changes(system: System, admin: Person) -> None:
    names = [f"Class{number}" for number in range(8)]
    async with announced(system) as heard:
        await asyncio.gather(*(change(admin, ALLOW, class_name=name) for name in names))
        async with asyncio.timeout(10):
            last = [await heard.get() for _ in names][-1]
        assert last.allowed_classes == tuple(names)


async def test_only_an_active_admin_changes_a_class_rule(system: System) -> None:
    user = await somebody(system)
    refused = await user.refused(CHANGE_CLASS_RULE, ChangeClassRule(class_name="X", verdict=ALLOW))
    assert (refused.kind, refused.code) == (ErrorKind.FORBIDDEN, "auth.scope.missing")
    assert await rules_of(system) == OperatorRules()


async def test_number_of_class_rules_is_limited(system: System, admin: Person) -> None:
    fill = "INSERT INTO class_rules SELECT 'class', 'filler' || n, 'allow' FROM generate_series(1, 1000) AS n"
    await system.sql.execute(fill)
    refused = await admin.refused(CHANGE_CLASS_RULE, ChangeClassRule(class_name="X", verdict=ALLOW))
    assert (refused.kind, refused.code) == (ErrorKind.CONFLICT, "auth.class_rules.too_many")
    assert "filler7" in (await change(admin, DENY, class_name="filler7")).denied_classes
    await change(admin, DEFAULT, class_name="filler8")
    assert "X" in (await change(admin, ALLOW, class_name="X")).allowed_classes


@pytest.mark.parametrize("name", ["", "x" * 201, "a\x00b", "a\nb", "a\x1b[31m", "\x85"])
def test_class_rule_name_is_bounded_and_has_no_control_characters(name: str) -> None:
    for field in ("class_name", "pack"):
        with pytest.raises(ValidationError):
            ChangeClassRule.model_validate({field: name, "verdict": "allow"})


async def test_rules_from_settings_apply_and_cannot_be_removed(postgres_server: PostgresServer) -> None:
    async with running_nats() as server:
        url = await postgres_server.create_database("auth")
        async with system_at(server.url, url, **FROM_SETTINGS) as system:
            fixed = ClassRules(allowed_classes=("RegexMatch", "SaveLatent"), denied_packs=("custom_nodes.evil",))
            assert await rules_of(system) == OperatorRules(**fixed.model_dump(), from_settings=fixed)
            admin = await somebody(system, Role.ADMIN)
            await change(admin, DEFAULT, class_name="RegexMatch")
            rules = await change(admin, DENY, class_name="SaveLatent")
            assert rules.allowed_classes == ("RegexMatch", "SaveLatent")
            assert rules.denied_classes == ("SaveLatent",)
            assert rules.from_settings == fixed


@pytest.mark.parametrize("text", ["a\tb", "x" * 201, "Fine,not\x00this"])
def test_settings_with_an_invalid_class_name_are_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="control characters"):
        settings_for("nats://127.0.0.1:1", "postgresql+asyncpg://nobody@127.0.0.1:1/none", denied_classes=text)
