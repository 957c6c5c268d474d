"""The gateway subscribes to all changes of limits, even if it loses its connection meanwhile."""

from contracts.auth.changes import USER_CHANGED
from contracts.auth.tiers import TIER_CHANGED
from gateway.accounts.limit_changes import create_limit_change_loop
from tests.kit.calling_bus import UnreliableBus
from tests.kit.nats import NatsServer
from tests.kit.waiting import until


async def test_failed_subscription_to_limit_changes_is_retried(nats_server: NatsServer) -> None:
    bus = UnreliableBus(nats_server.url, name="gateway")
    loop = create_limit_change_loop(bus, on_tier_changed=lambda: None, on_user_changed=lambda _: None)
    try:
        await bus.start()
        loop.start()
        await until(lambda: bus.topics == [TIER_CHANGED, USER_CHANGED])
    finally:
        await loop.stop()
        await bus.stop()
