"""Builds the services and loops that delete the data of purged jobs and erased accounts."""

from dataclasses import dataclass

from chassis.messaging.dead_letters import DeadLetters, DeadLetterStore
from gateway.purges.consumer import create_purge_consumer
from gateway.purges.erase_tenants import TenantEraser
from gateway.purges.erasure_store import ErasureStore
from gateway.purges.loops import (
    create_dead_letter_loop,
    create_deletion_loop,
    create_erasure_loop,
    create_leftovers_loop,
)
from gateway.purges.service import PurgedDataRemover
from gateway.purges.store import PurgeStore
from gateway.wiring import Feature, Infrastructure


@dataclass(frozen=True, kw_only=True)
class PurgesFeature(Feature):
    """The wired purges feature, with the messages about purges that could not be processed."""

    dead_letters: DeadLetters


def wire_purges(infra: Infrastructure) -> PurgesFeature:
    bus, database, objects = infra.bus, infra.database, infra.objects
    remover, store = PurgedDataRemover(bus, PurgeStore(database), objects), DeadLetterStore(database)
    deletion_loop = create_deletion_loop(remover, every_s=infra.settings.remains_every_s)
    consumer = create_purge_consumer(bus, remover, store, on_recorded=deletion_loop.wake)
    return PurgesFeature(
        dead_letters=DeadLetters("gateway", store, (consumer,)),
        loops=(
            consumer.loop("gateway.remove_purged"),
            deletion_loop,
            create_leftovers_loop(remover, every_s=infra.settings.remains_every_s),
            create_erasure_loop(TenantEraser(bus, ErasureStore(database), objects)),
            create_dead_letter_loop(store),
        ),
    )
