"""Reads nodes that request work, many in one query, because idle executors request work all the time."""

import asyncio
from contextvars import Context

from chassis.database.postgres import Database
from scheduler.store import claims


class ClaimingNodeReader:
    """Collects the nodes of requests that arrive during a query, and reads them with the next query."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[str, asyncio.Future[claims.ClaimingNode]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def read_node(self, node: str) -> claims.ClaimingNode:
        """Return what decides whether the node may claim, read from the database after the start of this call."""
        if node not in self._waiting:
            self._waiting[node] = asyncio.get_running_loop().create_future()
        answer = self._waiting[node]
        if self._reading is None or self._reading.done():
            # An empty context: the task serves several requests, so no single request id belongs on its log lines.
            self._reading = asyncio.create_task(
                self._read_requested_nodes(), name="scheduler.claiming_nodes", context=Context()
            )
        return await asyncio.shield(answer)

    async def _read_requested_nodes(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, {}
            try:
                async with self._database.single() as connection:
                    found = await claims.read_claiming_nodes(connection, list(waiting))
            except Exception as error:  # noqa: BLE001 - each request raises it
                for answer in waiting.values():
                    answer.set_exception(error)
            else:
                for node, answer in waiting.items():
                    answer.set_result(found[node])
