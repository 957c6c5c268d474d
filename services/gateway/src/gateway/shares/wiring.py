"""Builds the routes and loop for shared jobs."""

from chassis.loop import Loop
from gateway.jobs.history import JobHistory
from gateway.jobs.service import JobService
from gateway.shares import routes
from gateway.shares.service import JobShares
from gateway.shares.store import ShareStore
from gateway.signing.link_urls import LinkUrls
from gateway.wiring import Feature, Infrastructure

PRUNE_EVERY_S = 3600.0


def wire_shares(infra: Infrastructure, *, jobs: JobService, history: JobHistory, links: LinkUrls) -> Feature:
    """Construct the shares feature. ``links`` makes signed links to the outputs of shared jobs."""
    store = ShareStore(infra.database)
    shares = JobShares(store, jobs, history)
    return Feature(
        routers=(routes.create_router(shares=shares, links=links, public_url=infra.settings.public_url),),
        loops=(Loop("gateway.prune_shares", store.prune, every_s=PRUNE_EVERY_S),),
    )
