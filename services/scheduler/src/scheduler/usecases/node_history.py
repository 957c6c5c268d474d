"""Reads the recent history of nodes: their failed attempts, and the number of jobs of the last hour."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

from chassis.database.postgres import Database
from chassis.database.statement import Row
from contracts.scheduler.nodes import NodeFault, NodeStatus
from scheduler.domain.node_view import build_node_status
from scheduler.store import node_actions

FRESH_S = 10.0  # how long the history is cached: it reads every attempt of the last hour
MAX_FAULTS = 10  # per node
MAX_FAULTS_IN_ALL = 1000  # newest first


@dataclass(frozen=True, slots=True)
class NodeHistory:
    """Jobs of the last hour and newest failed attempts, by node name."""

    jobs: Mapping[str, int]
    faults: Mapping[str, Sequence[NodeFault]]

    def build_node_status(self, row: Row) -> NodeStatus:
        """Build a node from a row of ``node_actions``."""
        name = row["node"]
        return build_node_status(dict(row), jobs_last_hour=self.jobs.get(name, 0), faults=self.faults.get(name, ()))


class NodeHistoryReader:
    """Reads the history of nodes. Cached for ``FRESH_S`` seconds; concurrent callers share one query."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cached: NodeHistory | None = None
        self._until = 0.0
        self._lock = asyncio.Lock()

    async def read_history(self) -> NodeHistory:
        async with self._lock:
            if self._cached is None or monotonic() >= self._until:
                self._cached = await self._load_history()
                self._until = monotonic() + FRESH_S
            return self._cached

    async def _load_history(self) -> NodeHistory:
        async with self._database.single() as connection:
            jobs = await node_actions.count_succeeded_last_hour(connection)
            rows = await node_actions.list_faults(connection, limit=MAX_FAULTS, total=MAX_FAULTS_IN_ALL)
        faults: dict[str, list[NodeFault]] = {}
        for row in rows:
            faults.setdefault(row["node"], []).append(NodeFault(**row))
        return NodeHistory(jobs=jobs, faults=faults)
