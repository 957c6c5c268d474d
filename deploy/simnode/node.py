"""The life cycle of one simulated node."""

import asyncio

from aiohttp import web

from simnode.components import NodeComponents
from simnode.server import build_app
from simnode.settings import Settings
from simnode.worker import Worker

SHUTDOWN_TIMEOUT_S = 1.0  # grace period of open requests


class SimNode:
    """A node inside the current event loop.

    Use as ``async with SimNode(settings) as node: ... node.url``. Everything except its files is lost when it stops.
    """

    def __init__(self, settings: Settings) -> None:
        self.components = NodeComponents.build(settings)
        self.port = settings.port
        self._runner = web.AppRunner(build_app(self.components), access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
        self._worker = Worker(self.components)
        self._publisher: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Base URL, without a trailing slash."""
        return f"http://{self.components.settings.host}:{self.port}"

    async def start(self) -> None:
        """Create the folders, start the worker, open the port. ``port`` is the actual one afterwards.

        Raises:
            OSError: the port is in use.
        """
        settings = self.components.settings
        await asyncio.to_thread(self.components.folders.prepare)
        await self._runner.setup()
        site = web.TCPSite(self._runner, settings.host, settings.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self._publisher = asyncio.create_task(self.components.hub.publish(), name="publish")
        self._worker.start()

    async def stop(self) -> None:
        """Close everything. Safe after a failed start and after a failure of the sending loop."""
        await self._worker.stop()
        if self._publisher is not None:
            self._publisher.cancel()
            await asyncio.wait([self._publisher])
        await self._runner.cleanup()

    async def wait_for_failure(self) -> BaseException:
        """Wait until the sending loop fails, which ends a ComfyUI process. Returns the error."""
        if self._publisher is None:
            raise RuntimeError("not started")
        await asyncio.wait([self._publisher])
        return self._publisher.exception() or RuntimeError("the sending loop ended")

    async def __aenter__(self) -> "SimNode":
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()
