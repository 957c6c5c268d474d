"""Caches what the nodes of the fleet can run."""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
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
from scheduler.domain.catalog import Catalog, decode_catalog
from scheduler.domain.fleet_classes import build_class_page
from scheduler.domain.gpu_memory import to_gib
from scheduler.domain.placement import Warmth, list_models, rate_warmth
from scheduler.domain.waiting import NodeFacts, NodeSurvey, has_larger_node, survey_nodes
from scheduler.store import nodes

CHECKPOINT_INPUT = "CheckpointLoaderSimple.ckpt_name"  # the input that names the model of built-in workflows
NODES_FRESH_S = 1.0  # how long the list of nodes is cached, so that not every submit reads it


class FleetState:
    """Caches the catalogs of all nodes, and which requirements each catalog meets. The database is the source.

    Args:
        offline_after_s: a node without a heartbeat for this long is offline.
        forget_after_s: nodes that were last seen this long before the most recently seen node are ignored.
        catalog_grace_s: how long a replaced catalog still counts for admission.
        default_models: checkpoints for submissions without a model, best first. Empty: the checkpoints that nodes had
            when they joined.
    """

    def __init__(
        self,
        database: Database,
        *,
        offline_after_s: float,
        forget_after_s: float,
        catalog_grace_s: float,
        default_models: Collection[str] = (),
    ) -> None:
        self._database, self._offline_after_s, self._forget_after_s = database, offline_after_s, forget_after_s
        self._catalog_grace_s = catalog_grace_s
        self._default_models = tuple(default_models)
        self._models_at_join: frozenset[str] = frozenset()
        self._catalogs: dict[str, Catalog] = {}
        self._needs: dict[int, tuple[str, ...]] = {}
        self._models: dict[int, frozenset[str]] = {}  # the models in ``_needs``
        self._memory_over_gib: dict[int, int] = {}  # only of requirements that need a larger GPU
        self._requirement_ids: dict[tuple[tuple[str, ...], int | None], int] = {}
        self._requirements_version = 1  # increases with each notification of new requirements
        self._loaded_version = 0  # the value of _requirements_version when the last successful query began
        self._runnable: dict[str, set[int]] = {}
        self._node_summaries: Sequence[NodeSummary] = ()
        self._node_facts: Sequence[NodeFacts] = ()
        self._surveys: dict[int, NodeSurvey] = {}  # by requirement, for the cached nodes
        self._nodes_by_gpu: Counter[str] = Counter()
        self._digests: tuple[str, ...] = ()
        self._loaded_counts: Counter[str] = Counter()
        self._nodes_fresh_until = 0.0
        self._nodes_version = 1  # increases with each reported change of a node
        self._read_nodes_version = 0  # the value of _nodes_version when the last successful query began
        self._refresh_task: asyncio.Task[None] | None = None

    async def load_catalogs(self) -> Sequence[Catalog]:
        """Return each different catalog of the remembered nodes once; empty if no node has ever joined.

        Recently replaced catalogs come last: a model folder may be empty for a moment, for example while it is mounted.
        A job that only such a catalog satisfies is accepted, and waits until a node has the model again.
        """
        await self._refresh_nodes()
        return [self._catalogs[digest] for digest in self._digests]

    @property
    def has_nodes_online(self) -> bool:
        """Whether a node was online when the nodes were last read."""
        return any(node.online for node in self._node_summaries)

    @property
    def nodes_by_gpu(self) -> Mapping[str, int]:
        """Number of remembered nodes by GPU model, when the nodes were last read."""
        return self._nodes_by_gpu

    async def prune_catalogs(self) -> None:
        """Delete catalogs that no node has had for a day. For ``chassis.loop.Loop``."""
        await nodes.prune_catalogs(self._database)

    def mark_nodes_stale(self) -> None:
        """Note that a node changed, so that nodes are read from the database before the next use."""
        self._nodes_version += 1
        self._nodes_fresh_until = 0.0

    def mark_requirements_stale(self) -> None:
        """Note that new requirements must be read from the database before the next use."""
        self._requirements_version += 1

    async def save_requirement(self, needs: tuple[str, ...], *, memory_over_gib: int | None = None) -> int:
        """Return the id of the requirement with these needs, inserting it if it is new.

        Commits its own transaction, so a requirement is visible before any job that refers to it.
        """
        found = self._requirement_ids.get((needs, memory_over_gib))
        if found is None:
            async with self._database.transaction() as connection:
                found = await nodes.save_requirement(connection, needs, memory_over_gib=memory_over_gib)
            self._requirement_ids[needs, memory_over_gib] = found
            self.mark_requirements_stale()
        return found

    async def load_runnable_requirements(self, connection: Connection, digest: str) -> Set[int]:
        """Return the ids of the requirements that a node with this catalog meets. The set grows with new ones."""
        catalog = await self._load_catalog(connection, digest)
        if catalog is None:
            return frozenset()
        if not self._are_requirements_current:
            await self._load_new_requirements(connection)
        if digest not in self._runnable:
            needs = dict(self._needs)
            met = await offload(_list_met_requirements, needs, catalog)
            added = dict(islice(self._needs.items(), len(needs), None))  # in the meantime; none is ever removed
            self._runnable[digest] = met | _list_met_requirements(added, catalog)
        return self._runnable[digest]

    def find_runnable_requirements(self, digest: str) -> Set[int] | None:
        """Like ``load_runnable_requirements``, without a connection; None if something has to be read first."""
        return self._runnable.get(digest) if self._are_requirements_current else None

    def can_run(self, digest: str, requirement: int) -> bool:
        """Whether a node with this catalog meets a requirement. Uses what was read last."""
        return requirement in self._runnable.get(digest, ())

    def find_requirements_met_by_any(self, digests: Collection[str]) -> Set[int] | None:
        """Return the requirements that at least one of these catalogs meets.

        None if there are no catalogs, or something has to be read first.
        """
        met = [self.find_runnable_requirements(digest) for digest in digests]
        known = [requirements for requirements in met if requirements is not None]
        if not known or len(known) < len(met):
            return None
        return known[0] if len(known) == 1 else frozenset().union(*known)

    def rate_warmth(self, requirement: int, loaded: Set[str], loaded_elsewhere: Set[str] = frozenset()) -> Warmth:
        """Rate how warm jobs with this requirement are on a node. A requirement that was not read yet is cold.

        Args:
            loaded, loaded_elsewhere: models that the node has loaded, and models that other nodes have loaded.
        """
        models = self._models.get(requirement)
        return Warmth.COLD if models is None else rate_warmth(models, loaded, loaded_elsewhere)

    def get_models(self, requirement: int) -> frozenset[str]:
        """Return the models of jobs with this requirement. Uses what was read last."""
        return self._models.get(requirement, frozenset())

    async def load_new_requirements(self) -> None:
        """Read new requirements from the database until there are none."""
        while not self._are_requirements_current:
            async with self._database.transaction() as connection:
                await self._load_new_requirements(connection)

    async def list_exclusive_requirements(
        self, connection: Connection, node: str, requirements: Collection[int]
    ) -> list[int]:
        """List which of these requirements no other node meets that is online and neither blocked nor cordoned."""
        met: set[int] = set()
        for digest in await nodes.list_other_catalogs(connection, node, offline_after_s=self._offline_after_s):
            met.update(await self.load_runnable_requirements(connection, digest))
        return [requirement for requirement in requirements if requirement not in met]

    async def survey_nodes(self, requirements: Collection[int]) -> dict[int, NodeSurvey]:
        """Survey the nodes for jobs with each of these requirements. Cached for up to ``NODES_FRESH_S`` seconds."""
        await self._refresh_nodes()
        if not self._needs.keys() >= set(requirements):
            async with self._database.transaction() as connection:
                await self._load_new_requirements(connection)
        for requirement in set(requirements) - self._surveys.keys():
            needs = self._needs[requirement]
            missing_needs = {
                digest: self._catalogs[digest].find_missing_needs(needs)
                for digest in self._digests
                if not self._catalogs[digest].satisfies(needs)
            }
            memory_over_gib = self._memory_over_gib.get(requirement)
            self._surveys[requirement] = survey_nodes(self._node_facts, missing_needs, memory_over_gib=memory_over_gib)
        return {requirement: self._surveys[requirement] for requirement in requirements}

    async def save_larger_requirement(self, requirement: int, *, memory_over_gib: int) -> int:
        """Return the id of a requirement with the same needs and more GPU memory than ``memory_over_gib`` GiB.

        If the requirement already demands at least as much, it stays the same.
        """
        if requirement not in self._needs:
            async with self._database.transaction() as connection:
                await self._load_new_requirements(connection)
        memory_over_gib = max(memory_over_gib, self._memory_over_gib.get(requirement, memory_over_gib))
        return await self.save_requirement(self._needs[requirement], memory_over_gib=memory_over_gib)

    async def has_larger_node(self, requirement: int, memory_gib: int) -> bool:
        """Whether a usable node whose GPU has more than ``memory_gib`` GiB meets the requirement.

        Cached for ``NODES_FRESH_S`` seconds.
        """
        surveys = await self.survey_nodes([requirement])
        return has_larger_node(surveys[requirement].open_nodes, memory_gib)

    async def list_too_large_requirements(self, requirements: Iterable[int], memory_gib: int) -> frozenset[int]:
        """List which of these requirements need a GPU larger than ``memory_gib`` GiB, and are met by a usable node.

        Nodes with that memory leave their jobs to larger nodes.
        """
        if not self._memory_over_gib:
            return frozenset()
        limited = [requirement for requirement in requirements if self.is_gpu_too_small(requirement, memory_gib)]
        surveys = await self.survey_nodes(limited) if limited else {}
        return frozenset(
            requirement
            for requirement in limited
            if has_larger_node(surveys[requirement].open_nodes, self._memory_over_gib[requirement])
        )

    def is_gpu_too_small(self, requirement: int, memory_gib: int) -> bool:
        """Whether a GPU with this much memory, or more, was too small for jobs with this requirement."""
        over_gib = self._memory_over_gib.get(requirement)
        return over_gib is not None and memory_gib <= over_gib

    async def _load_new_requirements(self, connection: Connection) -> None:
        version = self._requirements_version  # a notification during the query may be about a later requirement
        for row in await nodes.list_new_requirements(connection, list(self._needs)):
            self._needs[row["id"]] = tuple(row["needs"])
            self._models[row["id"]] = list_models(row["needs"])
            if row["memory_over_gib"] is not None:
                self._memory_over_gib[row["id"]] = row["memory_over_gib"]
            for digest, met in self._runnable.items():
                if self._catalogs[digest].satisfies(row["needs"]):
                    met.add(row["id"])
        self._loaded_version = max(self._loaded_version, version)

    @property
    def _are_requirements_current(self) -> bool:
        return self._loaded_version == self._requirements_version

    async def read_fleet(self, policy: TenantPolicy | None = None) -> Fleet:
        """Return models, classes and nodes of the fleet; with a policy, only classes and models that it allows."""
        await self._refresh_nodes()
        catalogs = [self._catalogs[digest] for digest in self._digests]
        models, classes = await offload(_collect_models_and_classes, catalogs, self._loaded_counts, policy)
        return Fleet(
            models=models,
            default_models=self._choose_default_models(models.get(CHECKPOINT_INPUT, ())),
            classes=classes,
            nodes=tuple(self._node_summaries),
        )

    async def list_classes(self, query: ReadClasses, policy: TenantPolicy | None = None) -> ClassPage:
        """Return a page of the fleet's node classes; with a policy, only those that it allows."""
        await self._refresh_nodes()
        return await offload(
            build_class_page, [self._catalogs[digest].classes for digest in self._digests], query, policy
        )

    def _choose_default_models(self, checkpoints: Sequence[str]) -> tuple[str, ...]:
        if self._default_models:
            return tuple(model for model in self._default_models if model in checkpoints)
        return tuple(model for model in checkpoints if model in self._models_at_join)

    async def _refresh_nodes(self) -> None:
        if monotonic() < self._nodes_fresh_until:
            return
        wanted = self._nodes_version  # a query in progress may have started before the latest change
        while True:
            if self._refresh_task is None or self._refresh_task.done():  # all waiting callers share one query
                self._refresh_task = asyncio.create_task(self._read_nodes(), name="scheduler.nodes", context=Context())
            await asyncio.shield(self._refresh_task)
            if self._read_nodes_version >= wanted:
                return

    async def _read_nodes(self) -> None:
        version = self._nodes_version
        async with self._database.transaction() as connection:
            rows = await nodes.list_nodes(
                connection, offline_after_s=self._offline_after_s, forget_after_s=self._forget_after_s
            )
            digests = {row["catalog_digest"] for row in rows if row["catalog_digest"]}
            known = [digest for digest in sorted(digests) if await self._load_catalog(connection, digest)]
            replaced = await nodes.list_replaced_catalogs(
                connection, grace_s=self._catalog_grace_s, forget_after_s=self._forget_after_s
            )
            recent = [
                digest for digest in sorted(set(replaced) - digests) if await self._load_catalog(connection, digest)
            ]
            models_at_join = await nodes.list_models_at_join(
                connection, CHECKPOINT_INPUT, forget_after_s=self._forget_after_s
            )
        self._models_at_join = frozenset(models_at_join)
        self._digests = (*known, *recent)
        self._loaded_counts = Counter(need for row in rows if row["online"] for need in row["loaded"])
        self._node_summaries = [
            NodeSummary(node=row["name"], online=row["online"], seen_at=row["seen_at"], job_id=row["job_id"])
            for row in rows
        ]
        self._node_facts = [
            NodeFacts(
                name=row["name"],
                digest=row["catalog_digest"] if row["catalog_digest"] in known else None,
                online=row["online"],
                seen_at=row["seen_at"],
                state_since=row["since"],
                cordoned_at=row["cordoned_at"],
                shared_since=row["shared_since"],
                blocked_since=row["blocked_since"],
                memory_gib=to_gib(row["gpu_bytes"]),
                gpu_model=row["gpu_model"],
                busy_since=row["busy_since"],
                prefetched=row["prefetched"],
                loaded=frozenset(row["loaded"]),
            )
            for row in rows
        ]
        self._surveys, self._nodes_by_gpu = {}, Counter(row["gpu_model"] for row in rows)
        self._read_nodes_version = version
        self._nodes_fresh_until = monotonic() + NODES_FRESH_S if known and version == self._nodes_version else 0.0

    async def _load_catalog(self, connection: Connection, digest: str) -> Catalog | None:
        if digest not in self._catalogs:
            stored = await nodes.load_catalog(connection, digest)
            catalog = await offload(decode_catalog, digest, stored) if stored else None
            if catalog is None:
                log.error("scheduler.catalog_unreadable", digest=digest)
                return None
            self._catalogs[digest] = catalog
        return self._catalogs[digest]


def _list_met_requirements(requirements: Mapping[int, tuple[str, ...]], catalog: Catalog) -> set[int]:
    """Return the ids of the requirements that the catalog meets."""
    return {requirement for requirement, needs in requirements.items() if catalog.satisfies(needs)}


def _collect_models_and_classes(
    catalogs: Sequence[Catalog], loaded: Counter[str], policy: TenantPolicy | None
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Collect models by loader input, and the names of all classes, as far as the policy allows them.

    Models on most nodes come first; among equals, loaded models come first because their jobs start sooner.
    """
    class_policy = ClassPolicy(policy) if policy is not None else None
    counts_by_input: dict[str, Counter[str]] = {}
    classes: set[str] = set()
    for catalog in catalogs:
        allowed = {
            name
            for name, spec in catalog.classes.items()
            if class_policy is None or class_policy.decide(name, spec).allowed
        }
        classes |= allowed
        for field, models in catalog.models.items():
            if field.rpartition(".")[0] in allowed:
                counts_by_input.setdefault(field, Counter()).update(models)
    ordered = {
        field: tuple(sorted(counts, key=lambda model: (-counts[model], -loaded[f"{field}={model}"], model)))
        for field, counts in sorted(counts_by_input.items())
    }
    return ordered, tuple(sorted(classes))
