"""What can the fleet run?"""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextvars import Context
from itertools import islice
from time import monotonic

from chassis.database.postgres import Database
from chassis.database.statement import Connection
from chassis.offload import offload
from chassis.telemetry.logs import log
from contracts.graph_policy.class_decision import ClassPolicy
from contracts.graph_policy.policy import TenantPolicy
from contracts.scheduler.fleet import ClassPage, Fleet, NodeSummary, ReadClasses
from scheduler.domain.catalog import Catalog, read_catalog
from scheduler.domain.fleet_classes import page_of
from scheduler.domain.waiting import NodeFacts, Survey, survey
from scheduler.store import nodes

CHECKPOINTS = "CheckpointLoaderSimple.ckpt_name"  # the input by which built-in workflows take their model
NODES_FRESH_S = 1.0  # how long the list of nodes may be old; a submit must not ask for it each time


class FleetKnowledge:
    """Knows every node's catalog, and which jobs each node can run: a cache of what the database says.

    Args:
        catalog_grace_s: how long a catalog that a node replaced by another one still counts for admission.
        default_models: checkpoints that a submission without a model may run on, best first; if there are none, those
            that a node had when it joined.
    """

    def __init__(
        self,
        database: Database,
        *,
        online_s: float,
        forgotten_s: float,
        catalog_grace_s: float,
        default_models: Collection[str] = (),
    ) -> None:
        self._database, self._online_s, self._forgotten_s = database, online_s, forgotten_s
        self._catalog_grace_s = catalog_grace_s
        self._default_models = tuple(default_models)
        self._joined_with: frozenset[str] = frozenset()
        self._catalogs: dict[str, Catalog] = {}
        self._needs: dict[int, tuple[str, ...]] = {}
        self._ids: dict[tuple[str, ...], int] = {}
        self._all_known = False
        self._runnable: dict[str, set[int]] = {}
        self._nodes: Sequence[NodeSummary] = ()
        self._facts: Sequence[NodeFacts] = ()
        self._surveys: dict[int, Survey] = {}  # by requirement, of the nodes as they were read last
        self._digests: tuple[str, ...] = ()
        self._loaded: Counter[str] = Counter()
        self._nodes_until = 0.0
        self._refreshing: asyncio.Task[None] | None = None

    async def catalogs(self) -> Sequence[Catalog]:
        """What the nodes that were seen lately can run, each kind of node once; none where no node has joined yet.

        Catalogs that were replaced a moment ago come last: a model folder may be empty for a moment, as while it is
        mounted again. What only such a catalog has is accepted, and waits until a node has it again.
        """
        await self._refresh_nodes()
        return [self._catalogs[digest] for digest in self._digests]

    @property
    def has_nodes_online(self) -> bool:
        """Whether a node was online when the nodes were read last."""
        return any(node.online for node in self._nodes)

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
            needs = dict(self._needs)
            met = await offload(_met, needs, catalog)
            learned = dict(islice(self._needs.items(), len(needs), None))  # meanwhile; none is ever forgotten
            self._runnable[digest] = met | _met(learned, catalog)
        return list(self._runnable[digest])

    async def only_here(self, connection: Connection, node: str, requirements: Sequence[int]) -> list[int]:
        """Those of the requirements that no other node which is online and takes work meets."""
        met: set[int] = set()
        for digest in await nodes.others(connection, node, online_s=self._online_s):
            met.update(await self.runnable(connection, digest))
        return [requirement for requirement in requirements if requirement not in met]

    async def surveys(self, requirements: Collection[int]) -> dict[int, Survey]:
        """What nodes can do now for jobs of these requirements; nothing is asked for what was asked a moment ago."""
        await self._refresh_nodes()
        if not self._needs.keys() >= set(requirements):
            async with self._database.direct() as connection:
                await self._learn_requirements(connection)
        for requirement in set(requirements) - self._surveys.keys():
            needs = self._needs[requirement]
            lacking = {
                digest: self._catalogs[digest].lacks(needs)
                for digest in self._digests
                if not self._catalogs[digest].satisfies(needs)
            }
            self._surveys[requirement] = survey(self._facts, lacking)
        return {requirement: self._surveys[requirement] for requirement in requirements}

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

    async def read(self, policy: TenantPolicy | None = None) -> Fleet:
        """What the nodes that were seen lately can run; only what the policy allows, if one is given."""
        await self._refresh_nodes()
        catalogs = [self._catalogs[digest] for digest in self._digests]
        models, classes = await offload(_offered, catalogs, self._loaded, policy)
        return Fleet(
            models=models,
            default_models=self._defaults(models.get(CHECKPOINTS, ())),
            classes=classes,
            nodes=tuple(self._nodes),
        )

    async def classes(self, query: ReadClasses, policy: TenantPolicy | None = None) -> ClassPage:
        """A page of the node classes that the nodes which were seen lately have, as far as the policy allows them."""
        await self._refresh_nodes()
        return await offload(page_of, [self._catalogs[digest].classes for digest in self._digests], query, policy)

    def _defaults(self, checkpoints: Sequence[str]) -> tuple[str, ...]:
        if self._default_models:
            return tuple(model for model in self._default_models if model in checkpoints)
        return tuple(model for model in checkpoints if model in self._joined_with)

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
            replaced = await nodes.replaced(connection, grace_s=self._catalog_grace_s, forgotten_s=self._forgotten_s)
            lately = [digest for digest in sorted(set(replaced) - digests) if await self._catalog(connection, digest)]
            joined_with = await nodes.models_at_join(connection, CHECKPOINTS, forgotten_s=self._forgotten_s)
        self._joined_with = frozenset(joined_with)
        self._digests = (*known, *lately)
        self._loaded = Counter(need for row in rows if row["online"] for need in row["loaded"])
        self._nodes = [
            NodeSummary(node=row["name"], online=row["online"], seen_at=row["seen_at"], job_id=row["job_id"])
            for row in rows
        ]
        self._facts = [
            NodeFacts(
                name=row["name"],
                digest=row["catalog_digest"] if row["catalog_digest"] in known else None,
                online=row["online"],
                seen_at=row["seen_at"],
                since=row["since"],
                cordoned_at=row["cordoned_at"],
                shared_at=row["shared_since"],
                blocked_at=row["blocked_since"],
            )
            for row in rows
        ]
        self._surveys = {}
        self._nodes_until = monotonic() + NODES_FRESH_S if known else 0.0

    async def _catalog(self, connection: Connection, digest: str) -> Catalog | None:
        if digest not in self._catalogs:
            stored = await nodes.catalog(connection, digest)
            catalog = await offload(read_catalog, digest, stored) if stored else None
            if catalog is None:
                log.error("scheduler.catalog_unreadable", digest=digest)
                return None
            self._catalogs[digest] = catalog
        return self._catalogs[digest]


def _met(requirements: Mapping[int, tuple[str, ...]], catalog: Catalog) -> set[int]:
    """The requirements that a node with this catalog meets."""
    return {key for key, needs in requirements.items() if catalog.satisfies(needs)}


def _offered(
    catalogs: Sequence[Catalog], loaded: Counter[str], policy: TenantPolicy | None
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Models by loader input, the most common first, and the names of all classes, as far as the policy allows them.

    Of equally common models, those that are loaded already come first: they start sooner.
    """
    judge = ClassPolicy(policy) if policy is not None else None
    common: dict[str, Counter[str]] = {}
    classes: set[str] = set()
    for catalog in catalogs:
        allowed = {name for name, spec in catalog.classes.items() if judge is None or judge.decide(name, spec).allowed}
        classes |= allowed
        for field, models in catalog.models.items():
            if field.rpartition(".")[0] in allowed:
                common.setdefault(field, Counter()).update(models)
    ordered = {
        field: tuple(sorted(counts, key=lambda model: (-counts[model], -loaded[f"{field}={model}"], model)))
        for field, counts in sorted(common.items())
    }
    return ordered, tuple(sorted(classes))
