"""What can the fleet run?"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Sequence
from contextvars import Context
from time import monotonic

from chassis.logs import log
from chassis.postgres import Database
from chassis.statement import Connection
from contracts.scheduler import ClassPage, Fleet, NodeSummary, ReadClasses
from contracts.workflow import Graph, is_model
from scheduler.domain.catalog import Catalog, read_catalog
from scheduler.domain.fleet_check import check_fleet
from scheduler.domain.fleet_classes import page_of
from scheduler.domain.validation.graph_check import DrawSeed, Verdict
from scheduler.store import nodes

NODES_FRESH_S = 1.0  # how long the list of nodes may be old; a submit must not ask for it each time


class FleetKnowledge:
    """Knows every node's catalog, and which jobs each node can run: a cache of what the database says."""

    def __init__(
        self, database: Database, *, online_s: float, forgotten_s: float, draw_seed: DrawSeed = secrets.randbelow
    ) -> None:
        self._draw_seed = draw_seed
        self._database, self._online_s, self._forgotten_s = database, online_s, forgotten_s
        self._catalogs: dict[str, Catalog] = {}
        self._needs: dict[int, tuple[str, ...]] = {}
        self._ids: dict[tuple[str, ...], int] = {}
        self._all_known = False
        self._runnable: dict[str, set[int]] = {}
        self._nodes: Sequence[NodeSummary] = ()
        self._digests: tuple[str, ...] = ()
        self._loaded: Counter[str] = Counter()
        self._nodes_until = 0.0
        self._refreshing: asyncio.Task[None] | None = None

    async def check(self, graph: Graph, uploads: frozenset[str]) -> Verdict:
        """What a node of the fleet makes of the graph that it accepts.

        Args:
            graph: a graph without errors.
            uploads: ids that it may name where a node takes a file.

        Raises:
            InvalidWorkflow: no node can run it; says what the node that comes closest lacks.
            NoFleet: no node has joined yet.
        """
        await self._refresh_nodes()
        catalogs = [self._catalogs[digest] for digest in self._digests]
        return check_fleet(graph, uploads, catalogs, draw_seed=self._draw_seed)

    def expect_requirements(self) -> None:
        """There may be requirements that this process does not know yet."""
        self._all_known = False

    async def requirement(self, needs: tuple[str, ...]) -> int:
        """The id of these needs, made if they are new; committed on its own, so that whoever sees a job sees them."""
        found = self._ids.get(needs)
        if found is None:
            async with self._database.direct() as connection:
                found = await nodes.requirement(connection, needs)
            self._ids[needs] = found
            self.expect_requirements()
        return found

    async def runnable(self, connection: Connection, digest: str) -> list[int]:
        """The requirements that a node with this catalog meets."""
        catalog = await self._catalog(connection, digest)
        if catalog is None:
            return []
        if not self._all_known:
            await self._learn_requirements(connection)
        if digest not in self._runnable:
            self._runnable[digest] = {key for key, needs in self._needs.items() if catalog.satisfies(needs)}
        return list(self._runnable[digest])

    async def _learn_requirements(self, connection: Connection) -> None:
        self._all_known = True  # before asking: what comes while we ask makes it false again
        try:
            rows = await nodes.new_requirements(connection, list(self._needs))
        except BaseException:
            self._all_known = False
            raise
        for row in rows:
            self._needs[row["id"]] = tuple(row["needs"])
            for known, met in self._runnable.items():
                if self._catalogs[known].satisfies(row["needs"]):
                    met.add(row["id"])

    async def read(self) -> Fleet:
        """What the nodes that were seen lately can run."""
        await self._refresh_nodes()
        common: dict[str, Counter[str]] = {}
        classes: set[str] = set()
        for digest in self._digests:
            for name, spec in self._catalogs[digest].classes.items():
                classes.add(name)
                for field, accepted in spec.inputs.items():
                    models = [option for option in accepted.options or () if is_model(option)]
                    if models:
                        common.setdefault(f"{name}.{field}", Counter()).update(map(str, models))
        ordered = {field: self._most_common_first(field, counts) for field, counts in sorted(common.items())}
        return Fleet(models=ordered, classes=tuple(sorted(classes)), nodes=tuple(self._nodes))

    async def classes(self, query: ReadClasses) -> ClassPage:
        """A page of the node classes that the nodes which were seen lately have."""
        await self._refresh_nodes()
        return page_of([self._catalogs[digest].classes for digest in self._digests], query)

    def _most_common_first(self, field: str, counts: Counter[str]) -> tuple[str, ...]:
        """What is as common as another but loaded already starts sooner."""
        return tuple(sorted(counts, key=lambda model: (-counts[model], -self._loaded[f"{field}={model}"], model)))

    async def _refresh_nodes(self) -> None:
        if monotonic() < self._nodes_until:
            return
        if self._refreshing is None or self._refreshing.done():  # everybody who waits wants the same answer
            self._refreshing = asyncio.create_task(self._read_nodes(), name="scheduler.nodes", context=Context())
        await asyncio.shield(self._refreshing)

    async def _read_nodes(self) -> None:
        async with self._database.direct() as connection:
            rows = await nodes.seen(connection, online_s=self._online_s, forgotten_s=self._forgotten_s)
            digests = {row["catalog_digest"] for row in rows if row["catalog_digest"]}
            known = [digest for digest in sorted(digests) if await self._catalog(connection, digest)]
        self._digests = tuple(known)
        self._loaded = Counter(need for row in rows if row["online"] for need in row["loaded"])
        self._nodes = [
            NodeSummary(node=row["name"], online=row["online"], seen_at=row["seen_at"], job_id=row["job_id"])
            for row in rows
        ]
        self._nodes_until = monotonic() + NODES_FRESH_S if known else 0.0

    async def _catalog(self, connection: Connection, digest: str) -> Catalog | None:
        if digest not in self._catalogs:
            stored = await nodes.catalog(connection, digest)
            catalog = read_catalog(digest, stored) if stored else None
            if catalog is None:
                log.error("scheduler.catalog_unreadable", digest=digest)
                return None
            self._catalogs[digest] = catalog
        return self._catalogs[digest]
