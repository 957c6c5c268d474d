"""Test users, and requests on their behalf."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, SecretStr

from auth.commands import bootstrap_user
from chassis.messaging.metadata import Metadata
from contracts.auth.accounts import Role
from contracts.auth.changes import USER_CHANGED, UserChanged
from contracts.auth.credentials import VERIFY_CREDENTIAL, Principal, Scope, VerifyCredential, list_scopes
from contracts.auth.keys import CREATE_KEY, CreatedKey, CreateKey
from contracts.auth.tiers import Tier
from contracts.wire.errors import RefusalDetails, RelayedRefusal
from contracts.wire.topic import Rpc
from tests.integration.auth.conftest import System, settings_for
from tests.kit.waiting import until

JOBS = (Scope.JOBS_READ, Scope.JOBS_WRITE)


@dataclass(frozen=True)
class Person:
    """A user of the system under test, with its first key."""

    system: System
    id: UUID
    username: str
    role: Role
    key: str

    async def ask(self, topic: Rpc[Any, Any], payload: BaseModel) -> Any:
        return await self.system.bus.request(topic, payload, tenant=str(self.id))

    async def refused(self, topic: Rpc[Any, Any], payload: BaseModel) -> RefusalDetails:
        with pytest.raises(RelayedRefusal) as relayed:
            await self.ask(topic, payload)
        return relayed.value.details

    def key_request(self, **fields: Any) -> CreateKey:
        return CreateKey(**({"name": "laptop", "scopes": JOBS, "granted": list_scopes(self.role)} | fields))

    async def make_key(self, **fields: Any) -> CreatedKey:
        made: CreatedKey = await self.ask(CREATE_KEY, self.key_request(**fields))
        return made

    async def audited(self) -> list[tuple[str, UUID | None, dict[str, Any]]]:
        """Return the audit log entries about this user, oldest first: action, actor, detail."""
        sql = "SELECT action, actor_id, detail::text FROM audit_log WHERE subject_id = $1 ORDER BY id"
        rows = await self.system.sql.fetch(sql, self.id)
        return [(row["action"], row["actor_id"], json.loads(row["detail"])) for row in rows]


async def somebody(system: System, role: Role = Role.USER, tier: Tier = Tier.FREE, name: str = "") -> Person:
    """Create a user with a key."""
    username = name or f"u{secrets.token_hex(6)}"
    settings = settings_for(system.nats_url, system.database_url)
    made: dict[str, str] = {}

    async def is_made() -> bool:
        with suppress(OSError):  # connections to the database can time out on a busy machine
            made.update(await bootstrap_user(settings, username=username, email=None, role=role, tier=tier))
        return bool(made)

    await until(is_made)
    return Person(system, UUID(made["user_id"]), username, role, made["key"])


async def verified(system: System, text: str) -> Principal:
    return await system.bus.request(VERIFY_CREDENTIAL, VerifyCredential(credential=SecretStr(text)))


async def is_bad(system: System, text: str) -> bool:
    """Return whether a credential is refused with the error of invalid credentials."""
    try:
        await verified(system, text)
    except RelayedRefusal as relayed:
        if relayed.details.code != "auth.credential.invalid":
            raise
        return True
    return False


@asynccontextmanager
async def told_of(person: Person) -> AsyncIterator[asyncio.Queue[UserChanged]]:
    """Subscribe to the change messages about a user; yield a queue that receives them."""
    heard: asyncio.Queue[UserChanged] = asyncio.Queue()

    async def hear(message: UserChanged, _: Metadata) -> None:
        heard.put_nowait(message)

    close = await person.system.bus.subscribe(USER_CHANGED, hear, tenant=str(person.id))
    await person.system.bus.request(VERIFY_CREDENTIAL, VerifyCredential(credential=SecretStr(person.key)))
    yield heard  # the reply shows that the server has registered the subscription
    await close()
