"""Time of last use of API keys, as reported by public services."""

from datetime import UTC, datetime

import pytest

from contracts.auth.keys import KEYS_USED, LIST_KEYS, KeysUsed, ListKeys
from tests.integration.auth.conftest import System
from tests.integration.auth.people import somebody
from tests.kit.waiting import until


@pytest.mark.requirement("F-70")
async def test_unstorable_key_use_does_not_block_the_others(system: System) -> None:
    user = await somebody(system)
    key_id = (await user.make_key()).key.id
    await system.bus.publish(KEYS_USED, KeysUsed(uses={"\0": datetime.now(UTC)}))

    async def is_noted() -> bool:
        await system.bus.publish(KEYS_USED, KeysUsed(uses={key_id: datetime.now(UTC)}))
        return any(key.last_used_at for key in (await user.ask(LIST_KEYS, ListKeys())).keys)

    await until(is_noted)
