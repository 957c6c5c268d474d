"""Constructs the deletion of what belonged to purged jobs and erased accounts."""

from gateway.purges.consumer import remove_purged
from gateway.purges.erase_tenants import TenantEraser
from gateway.purges.erasure_store import Erasures
from gateway.purges.loops import erasure_loop, remains_loop
from gateway.purges.service import JobRemover
from gateway.purges.store import Purges
from gateway.wiring import Feature, Infrastructure


def wire_purges(infra: Infrastructure) -> Feature:
    """Construct the feature."""
    remover = JobRemover(infra.bus, Purges(infra.database), infra.objects)
    eraser = TenantEraser(infra.bus, Erasures(infra.database), infra.objects)
    return Feature(
        loops=(
            remove_purged(infra.bus, remover),
            remains_loop(remover, every_s=infra.settings.remains_every_s),
            erasure_loop(eraser),
        )
    )
