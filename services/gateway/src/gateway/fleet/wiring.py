"""Builds the routes and the service that list models and node classes."""

from dataclasses import dataclass

from gateway.fleet import routes
from gateway.fleet.service import FleetView
from gateway.wiring import Feature, Infrastructure


@dataclass(frozen=True, kw_only=True)
class Fleet(Feature):
    """The wired fleet feature, with the view that chooses the default model."""

    view: FleetView


def wire_fleet(infra: Infrastructure) -> Fleet:
    view = FleetView(infra.bus, fresh_s=infra.settings.models_cache_s)
    return Fleet(view=view, routers=(routes.create_router(bus=infra.bus, fleet=view),))
