"""Workloads: nodes, tenants, models and jobs, generated from a seed or read from a trace file."""

import csv
import json
from bisect import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Literal, NamedTuple, TypeAlias

Arrivals: TypeAlias = Literal["poisson", "backlog", "bursts"]
BURST_JOBS = 20  # jobs that one tenant submits at once, as for a batch of prompts


class Model(NamedTuple):
    """A model file: its size, and the time to load it into a node's memory."""

    name: str
    size_gb: float
    load_s: float


class Tenant(NamedTuple):
    name: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Submission:
    """A job, which needs one model.

    Attributes:
        at: time of its submission, in seconds.
        tenant, model: positions in the lists of the workload.
        run_s: GPU-seconds without loading.
        priority: higher is first, within its tenant.
    """

    at: float
    tenant: int
    model: int
    run_s: float
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Workload:
    """A fleet and its jobs.

    Attributes:
        vram_gb: memory of each node. A node keeps the models that it used last, as many as fit.
        submissions: sorted by time.
        gap_s: time between the end of a job and the node's next claim.
    """

    models: Sequence[Model]
    tenants: Sequence[Tenant]
    vram_gb: Sequence[float]
    submissions: Sequence[Submission]
    gap_s: float = 0.02

    def __post_init__(self) -> None:
        largest_gb = max(self.vram_gb)
        for number in {one.model for one in self.submissions}:
            model = self.models[number]
            if model.size_gb > largest_gb:
                raise ValueError(f"No node has the memory for model {model.name}: {model.size_gb:g} GB.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Parameters of a randomly generated workload.

    Attributes:
        zipf: the n-th model is needed by a share of jobs in proportion to ``n ** -zipf``. 0: all alike.
        shares: of each tenant in all jobs; empty: all alike. Their sum need not be 1.
        load: GPU-seconds of jobs per second and node, without loading. A backlog ignores it: all jobs come at once.
        run_s, run_spread: mean GPU-seconds of a job, and the part of it by which it may differ either way.
        load_s, size_gb: ranges, drawn for each model.
    """

    nodes: int = 8
    models: int = 20
    zipf: float = 1.1
    weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    shares: tuple[float, ...] = ()
    jobs: int = 4000
    arrivals: Arrivals = "poisson"
    load: float = 0.9
    run_s: float = 10.0
    run_spread: float = 0.5
    load_s: tuple[float, float] = (10.0, 20.0)
    size_gb: tuple[float, float] = (13.0, 20.0)
    vram_gb: float = 24.0


def draw_workload(shape: Shape, *, seed: int) -> Workload:
    """Draw a workload. The same shape and seed give the same workload."""
    random = Random(seed)  # noqa: S311 - a simulation
    models = [
        Model(f"model-{number}", random.uniform(*shape.size_gb), random.uniform(*shape.load_s))
        for number in range(shape.models)
    ]
    tenants = [Tenant(f"tenant-{number}", weight) for number, weight in enumerate(shape.weights)]
    popularity = list(accumulate((number + 1) ** -shape.zipf for number in range(shape.models)))
    shares = list(accumulate(shape.shares or (1.0,) * len(tenants)))
    if len(shares) != len(tenants):
        raise ValueError(f"{len(tenants)} weights, but {len(shares)} shares. Give one share for each weight.")

    def draw(at: float, tenant: int) -> Submission:
        model = bisect(popularity, random.random() * popularity[-1])
        run_s = shape.run_s * random.uniform(1 - shape.run_spread, 1 + shape.run_spread)
        return Submission(at, tenant, model, run_s)

    times = _draw_times(shape, len(tenants), random)
    submissions = [draw(at, bisect(shares, random.random() * shares[-1]) if who is None else who) for at, who in times]
    return Workload(models, tenants, [shape.vram_gb] * shape.nodes, submissions)


def _draw_times(shape: Shape, tenants: int, random: Random) -> Iterator[tuple[float, int | None]]:
    """Draw times of submission, and whose jobs those of a burst are."""
    at, rate = 0.0, shape.load * shape.nodes / shape.run_s
    for number in range(shape.jobs):
        if shape.arrivals == "backlog":
            yield 0.0, None
        elif shape.arrivals == "poisson":
            at += random.expovariate(rate)
            yield at, None
        else:
            if number % BURST_JOBS == 0:
                at += random.expovariate(rate / BURST_JOBS)
                whose = random.randrange(tenants)
            yield at, whose


def read_trace(path: Path, shape: Shape) -> Workload:
    """Read a workload from a file of JSON lines, or from a CSV file with a header. Nodes are those of the shape.

    Each record has ``at`` and ``run_s`` (seconds) and ``tenant`` and ``model`` (names); and may have ``weight`` of the
    tenant, ``size_gb`` and ``load_s`` of the model, and ``priority``. Of a tenant or model, the first record counts.
    """
    with path.open(newline="") as lines:
        records = list(csv.DictReader(lines) if path.suffix == ".csv" else _parse_lines(lines))
    models: dict[str, Model] = {}
    tenants: dict[str, Tenant] = {}
    numbers: dict[tuple[str, str], int] = {}
    submissions = []
    for line, record in enumerate(records, 1):
        try:
            model, tenant = str(record["model"]), str(record["tenant"])
            size_gb = float(record.get("size_gb") or shape.size_gb[0])
            models.setdefault(model, Model(model, size_gb, float(record.get("load_s") or shape.load_s[0])))
            tenants.setdefault(tenant, Tenant(tenant, float(record.get("weight") or 1)))
            submissions.append(
                Submission(
                    at=float(record["at"]),
                    tenant=numbers.setdefault(("tenant", tenant), len(tenants) - 1),
                    model=numbers.setdefault(("model", model), len(models) - 1),
                    run_s=float(record["run_s"]),
                    priority=int(record.get("priority") or 0),
                )
            )
        except (KeyError, ValueError, AttributeError) as wrong:
            raise ValueError(f"{path}, record {line}: {wrong!r}") from wrong
    if not submissions:
        raise ValueError(f"{path} has no records.")
    submissions.sort(key=lambda one: one.at)
    vram_gb = [shape.vram_gb] * shape.nodes
    return Workload(list(models.values()), list(tenants.values()), vram_gb, submissions)


def _parse_lines(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    return (json.loads(line) for line in lines if line.strip())


def add_submissions(workload: Workload, tenant: Tenant, submissions: Iterable[Submission]) -> Workload:
    """Add a tenant and its jobs, whose ``tenant`` is replaced."""
    number = len(workload.tenants)
    added = [*workload.submissions, *(replace(one, tenant=number) for one in submissions)]
    return replace(workload, tenants=[*workload.tenants, tenant], submissions=sorted(added, key=lambda one: one.at))
