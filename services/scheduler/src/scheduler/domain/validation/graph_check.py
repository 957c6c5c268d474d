"""Whether one node accepts a graph, and the graph as that node takes it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from contracts.catalog import InputSpec
from contracts.graph_policy.registry import InputRole
from contracts.scheduler.jobs import DrawnSeed
from contracts.wire.shown import plain, shown
from contracts.workflow import MAX_ERRORS, Graph, GraphNode, cycle_error, is_link
from scheduler.domain.catalog import Catalog
from scheduler.domain.class_facts import ClassFacts
from scheduler.domain.validation.declared_inputs import Declared, declared_inputs, unwrapped
from scheduler.domain.validation.findings import Fault, Finding
from scheduler.domain.validation.links import place_fault, slot_fault, type_fault
from scheduler.domain.validation.values import judge_value

UNKNOWN_CLASS = "unknown_node_class"
SEED_INPUTS = frozenset({"seed", "noise_seed"})
MAX_LISTED = 200  # characters of a list that a message says whole
RANDOM_SEEDS = (-1, "-1")  # what other front ends send for "any seed will do"

MAX_DRAWN = 2**63 - 1  # fits the integers of every database and client
MAX_TOLD_SEEDS = 50  # of one job; a list of jobs tells those of each

DrawSeed = Callable[[int], int]

_KINDS = {"INT": "a whole number", "FLOAT": "a number", "STRING": "a text", "BOOLEAN": "true or false"}


class GraphCheckResult(NamedTuple):
    """What a node makes of a graph.

    Attributes:
        findings: what keeps the node from running it; nothing if it accepts it.
        graph: what the node is to run: only what its outputs need, values cast to the types of their inputs, without
            what the node would ignore. Whole only where there are no findings; with findings it still has the
            inputs that the graph policy judges, as they came.
        needs: the classes and options that a node must have to run it, sorted: ``Class``, ``Class.input=option``.
        seeds: what was drawn, in the order of the graph, ``MAX_TOLD_SEEDS`` at most. Each input has its own, as a graph
            may make several variants of one picture.
        unlisted: whether a choice is none that the node lists, and the node may accept it all the same.
    """

    findings: tuple[Finding, ...]
    graph: Graph
    needs: tuple[str, ...]
    seeds: tuple[DrawnSeed, ...] = ()
    unlisted: bool = False


def check_graph(
    graph: Graph,
    catalog: Catalog,
    *,
    draw_seed: DrawSeed,
    randomize_seeds: bool = False,
    at_most: int = MAX_ERRORS,
) -> GraphCheckResult:
    """Judge a graph as ComfyUI's ``validate_prompt`` does, without asking the node.

    Every class must be known; beyond that only nodes that feed an output count. The time it takes grows with the graph
    alone.

    Args:
        draw_seed: gives a number from 0 to below its argument, for seeds of -1.
        randomize_seeds: draw all other seeds too that are numbers.
        at_most: findings that are of interest.
    """
    return _GraphCheck(graph, catalog, draw_seed, randomize_seeds=randomize_seeds, at_most=at_most).verdict()


class _GraphCheck:
    """Walks a graph from its outputs; each node is judged once."""

    def __init__(
        self, graph: Graph, catalog: Catalog, draw_seed: DrawSeed, *, randomize_seeds: bool, at_most: int
    ) -> None:
        self._graph, self._catalog, self._draw_seed, self._at_most = graph, catalog, draw_seed, at_most
        self._randomize_seeds = randomize_seeds
        self._findings: list[Finding] = []
        self._accepted: dict[str, GraphNode] = {}
        self._needs: set[str] = set()
        self._seeds: list[DrawnSeed] = []
        self._unlisted = False

    def verdict(self) -> GraphCheckResult:
        """Judge everything."""
        self._check_classes()
        self._walk()
        graph = {node_id: self._accepted[node_id] for node_id in self._graph if node_id in self._accepted}
        if not self._findings and (circle := cycle_error(graph)):
            self._findings.append(Finding(Fault(circle.code, circle.message), circle.node_id))
        places = {node_id: place for place, node_id in enumerate(self._graph)}
        self._findings.sort(key=lambda finding: places.get(finding.node_id or "", -1))
        findings, needs = tuple(self._findings[: self._at_most]), tuple(sorted(self._needs))
        seeds = sorted(self._seeds, key=lambda drawn: places.get(drawn.node_id, -1))[:MAX_TOLD_SEEDS]
        return GraphCheckResult(findings, graph, needs, tuple(seeds), self._unlisted)

    def _check_classes(self) -> None:
        for node_id, node in self._graph.items():
            if node.class_type not in self._catalog.classes:
                message = f"No ComfyUI server of the fleet has the class {shown(node.class_type)}."
                fault = Fault(UNKNOWN_CLASS, message, sought=node.class_type, choices=self._catalog.names)
                self._findings.append(Finding(fault, node_id))
                if len(self._findings) == self._at_most:
                    return

    def _walk(self) -> None:
        classes = self._catalog.classes
        todo = [key for key, node in self._graph.items() if (spec := classes.get(node.class_type)) and spec.output_node]
        if not todo and not self._findings:
            message = "This workflow has no output node, so nothing of it would run. Add one, such as SaveImage."
            self._findings.append(Finding(Fault("workflow_without_output", message)))
        reached = set(todo)
        while todo and len(self._findings) < self._at_most:
            node_id = todo.pop()
            if self._graph[node_id].class_type not in classes:
                continue  # reported already
            self._check_node(node_id)
            for value in self._accepted[node_id].inputs.values():
                if is_link(value) and value[0] in self._graph and value[0] not in reached:
                    reached.add(value[0])
                    todo.append(value[0])

    def _check_node(self, node_id: str) -> None:
        """Judge a node's inputs, and keep what the node is to get of them: only whole links, no null."""
        node = self._graph[node_id]
        facts = self._catalog.facts(node.class_type)
        self._needs.add(node.class_type)
        declared = declared_inputs(facts, node.inputs)
        inputs: dict[str, Any] = {}
        for name, value in node.inputs.items():
            if name in declared:
                if value is not None:
                    self._check_input(node_id, facts, name, declared[name][0], inputs)
            elif facts.takes_any_input and self._is_harmless(node_id, facts, name, value):
                inputs[name] = value
        for name, (spec, required) in declared.items():
            if not required or node.inputs.get(name) is not None:
                continue
            if name in node.inputs and self._catalog.rules.role(node.class_type, name) is InputRole.OUTPUT_NAME:
                inputs[name] = ""  # what the executor puts there counts, whatever is sent
            else:
                self._refuse(node_id, name, _missing(facts, name, spec, node.inputs, declared), inputs)
        self._accepted[node_id] = node._replace(inputs=inputs)

    def _check_input(self, node_id: str, facts: ClassFacts, name: str, spec: InputSpec, inputs: dict[str, Any]) -> None:
        value = self._graph[node_id].inputs[name]
        if spec.upload:
            inputs[name] = value  # which files a graph may name is not the node's to say
        elif isinstance(value, list):
            if (fault := self._link_fault(facts, name, spec, value)) is None:
                inputs[name] = value
            else:
                self._refuse(node_id, name, fault, inputs)
        elif _leaves_seed_open(name, spec, value):
            inputs[name] = self._drawn_seed(node_id, name, spec)
        else:
            judged = judge_value(facts, name, spec, value, self._catalog.has_option)
            if judged.fault is not None:
                self._refuse(node_id, name, judged.fault, inputs)
                return
            is_drawn = self._randomize_seeds and _is_seed(name, spec)
            inputs[name] = self._drawn_seed(node_id, name, spec) if is_drawn else judged.value
            self._unlisted |= judged.unlisted
            if judged.listed is not None and spec.options is not None:
                self._needs.add(f"{facts.name}.{name}={judged.listed}")

    def _drawn_seed(self, node_id: str, name: str, spec: InputSpec) -> int:
        low, high = max(0, int(spec.min or 0)), min(int(spec.max or 0), MAX_DRAWN)
        seed = low + self._draw_seed(high - low + 1)
        self._seeds.append(DrawnSeed(node_id=node_id, input=name, seed=seed))
        return seed

    def _link_fault(self, facts: ClassFacts, name: str, spec: InputSpec, link: list[Any]) -> Fault | None:
        label = f"{facts.name}.{name}"
        classes = self._catalog.classes
        fault = place_fault(label, link, self._graph) or slot_fault(label, link, self._graph, classes)
        source = None if fault else classes.get(self._graph[link[0]].class_type)
        if source is None or facts.takes_links_of_any_type:
            return fault
        return type_fault(label, link, spec, self._graph[link[0]].class_type, source.outputs)

    def _is_harmless(self, node_id: str, facts: ClassFacts, name: str, value: Any) -> bool:
        """Whether an input that the class does not declare can be passed on. A link to nowhere would stop the node."""
        if not is_link(value):
            return True
        label = f"{facts.name}.{name}"
        fault = place_fault(label, value, self._graph) or slot_fault(label, value, self._graph, self._catalog.classes)
        if fault is not None:
            self._add(node_id, name, fault)
        return fault is None

    def _refuse(self, node_id: str, name: str, fault: Fault, inputs: dict[str, Any]) -> None:
        """Report an input that the class declares; the graph policy judges it as it came, where it judges it."""
        given = self._graph[node_id]
        self._add(node_id, name, fault)
        if name in given.inputs and self._catalog.rules.judges(given.class_type, name):
            inputs[name] = given.inputs[name]

    def _add(self, node_id: str, name: str, fault: Fault) -> None:
        self._findings.append(Finding(fault, node_id, name))


def _is_seed(name: str, spec: InputSpec) -> bool:
    return (
        name.rpartition(".")[2] in SEED_INPUTS
        and spec.type == "INT"
        and spec.min is not None
        and spec.max is not None
        and max(0, spec.min) < spec.max
    )


def _leaves_seed_open(name: str, spec: InputSpec, value: Any) -> bool:
    """Whether this is a seed of -1 where the class takes none below 0."""
    return spec.min == 0 and unwrapped(value) in RANDOM_SEEDS and _is_seed(name, spec)


def _missing(facts: ClassFacts, name: str, spec: InputSpec, given: Mapping[str, Any], declared: Declared) -> Fault:
    """What to do about an input that is not there; often it is, under the name that it has without its group."""
    allowed = tuple(spec.variants) if spec.variants is not None else spec.options
    if facts.takes_only_links(spec):
        takes = f'a link to an output of type {plain(spec.type)}, such as ["4", 0]'
    elif allowed is not None:
        takes = "one of its options"
    else:
        takes = f"{_KINDS.get(spec.type, 'a value')} or a link"
    message = f"{facts.name}.{name} is required, and is missing. Give it {takes}."
    listed = [shown(choice) for choice in allowed or ()]
    if listed and sum(map(len, listed)) <= MAX_LISTED:
        message += f" Valid: {', '.join(listed)}."
    short = name.rpartition(".")[2]
    if short != name and short in given and short not in declared:
        message = f"{facts.name}.{name} is required, and is missing. This node has {shown(short)}: write {shown(name)}."
    return Fault("required_input_missing", message, allowed if allowed and len(allowed) <= 20 else None)
