"""When keys were last used, as doors tell it."""

from datetime import UTC, datetime

from contracts.auth import KEYS_USED, LIST_KEYS, KeysUsed, ListKeys
from tests.integration.auth.conftest import System
from tests.integration.auth.people import somebody
from tests.kit.waiting import until


async def test_f_70_a_use_that_cannot_be_written_keeps_no_other_from_being_written(system: System) -> None:
    user = await somebody(system)
    key_id = (await user.make_key()).key.id
    await system.bus.publish(KEYS_USED, KeysUsed(uses={"\0": datetime.now(UTC)}))

    async def is_noted() -> bool:
        await system.bus.publish(KEYS_USED, KeysUsed(uses={key_id: datetime.now(UTC)}))
        return any(key.last_used_at for key in (await user.ask(LIST_KEYS, ListKeys())).keys)

    await until(is_noted)
