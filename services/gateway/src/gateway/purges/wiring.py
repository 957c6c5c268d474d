"""The parts that remove what belonged to purged jobs and erased accounts, put together."""

from chassis.database.postgres import Database
from chassis.loop import Loop
from chassis.messaging.bus import Bus
from chassis.messaging.dead_letters import DeadLetters, DeadLetterStore
from gateway.purges.consumer import purge_consumer
from gateway.purges.erase_tenants import TenantEraser
from gateway.purges.erasure_store import Erasures
from gateway.purges.loops import dead_letter_loop, erasure_loop, remains_loop
from gateway.purges.service import JobRemover
from gateway.purges.store import Purges
from gateway.storage.objects import Objects


def wire_purges(
    bus: Bus, database: Database, objects: Objects, *, remains_every_s: float
) -> tuple[tuple[Loop, ...], DeadLetters]:
    """The loops, and the purges that could not be handled."""
    remover, store = JobRemover(bus, Purges(database), objects), DeadLetterStore(database)
    consumer = purge_consumer(bus, remover, store)
    loops = (
        consumer.loop("gateway.remove_purged"),
        remains_loop(remover, every_s=remains_every_s),
        erasure_loop(TenantEraser(bus, Erasures(database), objects)),
        dead_letter_loop(store),
    )
    return loops, DeadLetters("gateway", store, (consumer,))
