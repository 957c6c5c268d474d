"""Builds the routes of the web console."""

from gateway.console.files import load_console
from gateway.console.routes import create_router
from gateway.wiring import Feature, Infrastructure


def wire_console(infra: Infrastructure) -> Feature:
    """Construct the console feature. Reads the built files immediately."""
    return Feature(routers=(create_router(load_console(infra.settings.console_dir)),))
