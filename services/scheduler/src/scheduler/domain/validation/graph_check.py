"""Checks a graph against the catalog of one node, and converts it to what that node will run."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from contracts.catalog import InputSpec
from contracts.graph_policy.registry import InputRole
from contracts.scheduler.jobs import DrawnSeed
from contracts.wire.show_values import format_value, make_printable
from contracts.workflow import MAX_ERRORS, Graph, GraphNode, find_cycle_error, is_link
from scheduler.domain.catalog import Catalog
from scheduler.domain.class_facts import ClassFacts
from scheduler.domain.validation.declared_inputs import DeclaredInputs, resolve_inputs, unwrap_value
from scheduler.domain.validation.findings import Finding, GraphFault
from scheduler.domain.validation.links import find_link_fault, find_slot_fault, find_type_fault
from scheduler.domain.validation.values import check_value

UNKNOWN_CLASS = "unknown_node_class"
SEED_INPUTS = frozenset({"seed", "noise_seed"})
MAX_LISTED = 200  # characters; messages do not contain longer lists
RANDOM_SEEDS = (-1, "-1")  # other front ends send these for a random seed

MAX_DRAWN_SEED = 2**63 - 1  # fits the integers of every database and client
MAX_REPORTED_SEEDS = 50  # per job, because a page of jobs includes the seeds of each

DrawNumber = Callable[[int], int]

_TYPE_NAMES = {"INT": "a whole number", "FLOAT": "a number", "STRING": "a text", "BOOLEAN": "true or false"}


class GraphCheckResult(NamedTuple):
    """The result of checking a graph against one node.

    Attributes:
        findings: reasons why the node cannot run the graph; empty if it can.
        graph: the graph that the node will run: only nodes that an output needs, values converted to the types of their
            inputs, ignored inputs left out. Complete only without findings; with findings it still has, unchanged, the
            inputs that the graph policy covers.
        needs: the classes and options that a node must have to run it, sorted: ``Class``, ``Class.input=option``.
        seeds: drawn seeds in the order of the graph, at most ``MAX_REPORTED_SEEDS``. Each input gets its own seed,
            because a graph may make several variants of one image.
        has_unlisted_choice: whether a choice is not among the node's options but the node may accept it.
    """

    findings: tuple[Finding, ...]
    graph: Graph
    needs: tuple[str, ...]
    seeds: tuple[DrawnSeed, ...] = ()
    has_unlisted_choice: bool = False


def check_graph(
    graph: Graph,
    catalog: Catalog,
    *,
    draw_seed: DrawNumber,
    randomize_seeds: bool = False,
    max_findings: int = MAX_ERRORS,
) -> GraphCheckResult:
    """Check a graph as ComfyUI's ``validate_prompt`` does, without the node.

    All classes must be known; apart from that only nodes that feed an output are checked. The time grows with the size
    of the graph only.

    Args:
        graph: the graph to check.
        catalog: the catalog of the node.
        draw_seed: draws an integer from 0 to below its argument, for seeds of -1.
        randomize_seeds: draw all seeds that are numbers, not only those of -1.
        max_findings: upper bound of the findings that are returned.
    """
    return _GraphCheck(graph, catalog, draw_seed, randomize_seeds=randomize_seeds, max_findings=max_findings).run()


class _GraphCheck:
    """Walks a graph from its output nodes and checks each node once."""

    def __init__(
        self, graph: Graph, catalog: Catalog, draw_seed: DrawNumber, *, randomize_seeds: bool, max_findings: int
    ) -> None:
        self._graph, self._catalog, self._draw_seed, self._max_findings = graph, catalog, draw_seed, max_findings
        self._randomize_seeds = randomize_seeds
        self._node_ids = tuple(graph)
        self._findings: list[Finding] = []
        self._accepted: dict[str, GraphNode] = {}
        self._needs: set[str] = set()
        self._seeds: list[DrawnSeed] = []
        self._has_unlisted_choice = False

    def run(self) -> GraphCheckResult:
        self._check_classes()
        self._check_reachable_nodes()
        graph = {node_id: self._accepted[node_id] for node_id in self._graph if node_id in self._accepted}
        if not self._findings and (cycle := find_cycle_error(graph)):
            self._findings.append(Finding(GraphFault(cycle.code, cycle.message), cycle.node_id))
        positions = {node_id: position for position, node_id in enumerate(self._node_ids)}
        self._findings.sort(key=lambda finding: positions.get(finding.node_id or "", -1))
        findings, needs = tuple(self._findings[: self._max_findings]), tuple(sorted(self._needs))
        seeds = sorted(self._seeds, key=lambda drawn: positions.get(drawn.node_id, -1))[:MAX_REPORTED_SEEDS]
        return GraphCheckResult(findings, graph, needs, tuple(seeds), self._has_unlisted_choice)

    def _check_classes(self) -> None:
        for node_id, node in self._graph.items():
            if node.class_type not in self._catalog.classes:
                message = f"No ComfyUI server of the fleet has the class {format_value(node.class_type)}."
                fault = GraphFault(
                    UNKNOWN_CLASS, message, given_name=node.class_type, choices=self._catalog.class_names
                )
                self._findings.append(Finding(fault, node_id))
                if self._has_enough_findings():
                    return

    def _check_reachable_nodes(self) -> None:
        classes = self._catalog.classes
        todo = [key for key, node in self._graph.items() if (spec := classes.get(node.class_type)) and spec.output_node]
        if not todo and not self._findings:
            message = "This workflow has no output node, so nothing of it would run. Add one, such as SaveImage."
            self._findings.append(Finding(GraphFault("workflow_without_output", message)))
        reached = set(todo)
        while todo and not self._has_enough_findings():
            node_id = todo.pop()
            if self._graph[node_id].class_type not in classes:
                continue  # reported already
            self._check_node(node_id)
            for value in self._accepted[node_id].inputs.values():
                if is_link(value) and value[0] in self._graph and value[0] not in reached:
                    reached.add(value[0])
                    todo.append(value[0])

    def _check_node(self, node_id: str) -> None:
        """Check the inputs of a node and keep those that it will get: valid links and values, no null.

        Stops once there are enough findings, because one node may have thousands of inputs.
        """
        node = self._graph[node_id]
        facts = self._catalog.get_class_facts(node.class_type)
        self._needs.add(node.class_type)
        declared = resolve_inputs(facts, node.inputs)
        inputs: dict[str, Any] = {}
        for name, value in node.inputs.items():
            if self._has_enough_findings():
                break
            if name in declared:
                if value is not None:
                    self._check_input(node_id, facts, name, declared[name][0], inputs)
            elif facts.takes_any_input and self._is_harmless_input(node_id, facts, name, value):
                inputs[name] = value
        self._check_missing_inputs(node_id, facts, declared, inputs)
        self._accepted[node_id] = node._replace(inputs=inputs)

    def _check_missing_inputs(
        self, node_id: str, facts: ClassFacts, declared: DeclaredInputs, inputs: dict[str, Any]
    ) -> None:
        node = self._graph[node_id]
        for name, (spec, required) in declared.items():
            if self._has_enough_findings():
                break
            if not required or node.inputs.get(name) is not None:
                continue
            if name in node.inputs and self._catalog.rules.find_role(node.class_type, name) is InputRole.OUTPUT_NAME:
                inputs[name] = ""  # the executor sets the name in any case
            else:
                self._report_declared_input(
                    node_id, name, _build_missing_fault(facts, name, spec, node.inputs, declared), inputs
                )

    def _check_input(self, node_id: str, facts: ClassFacts, name: str, spec: InputSpec, inputs: dict[str, Any]) -> None:
        value = self._graph[node_id].inputs[name]
        if spec.upload:
            inputs[name] = value  # files are checked by the graph policy and check_file_inputs
        elif isinstance(value, list):
            if (fault := self._find_link_fault(facts, name, spec, value)) is None:
                inputs[name] = value
            else:
                self._report_declared_input(node_id, name, fault, inputs)
        elif _requests_random_seed(name, spec, value):
            inputs[name] = self._draw_input_seed(node_id, name, spec)
        else:
            checked = check_value(facts, name, spec, value, self._catalog.has_option)
            if checked.fault is not None:
                self._report_declared_input(node_id, name, checked.fault, inputs)
                return
            is_drawn = self._randomize_seeds and is_seed(name, spec)
            inputs[name] = self._draw_input_seed(node_id, name, spec) if is_drawn else checked.value
            self._has_unlisted_choice |= checked.is_unlisted
            if checked.option is not None and spec.options is not None:
                self._needs.add(f"{facts.name}.{name}={checked.option}")

    def _draw_input_seed(self, node_id: str, name: str, spec: InputSpec) -> int:
        low, high = max(0, int(spec.min or 0)), min(int(spec.max or 0), MAX_DRAWN_SEED)
        seed = low + self._draw_seed(high - low + 1)
        self._seeds.append(DrawnSeed(node_id=node_id, input=name, seed=seed))
        return seed

    def _find_link_fault(self, facts: ClassFacts, name: str, spec: InputSpec, link: list[Any]) -> GraphFault | None:
        label = f"{facts.name}.{name}"
        classes = self._catalog.classes
        only_links = facts.takes_only_links(spec)
        fault = find_link_fault(
            label, link, self._graph, self._node_ids, takes_only_links=only_links
        ) or find_slot_fault(label, link, self._graph, classes)
        source = None if fault else classes.get(self._graph[link[0]].class_type)
        if source is None or facts.takes_links_of_any_type:
            return fault
        return find_type_fault(label, link, spec, self._graph[link[0]].class_type, source.outputs)

    def _is_harmless_input(self, node_id: str, facts: ClassFacts, name: str, value: Any) -> bool:
        """Whether an undeclared input can be passed on. A broken link would make the node fail."""
        if not is_link(value):
            return True
        label = f"{facts.name}.{name}"
        fault = find_link_fault(label, value, self._graph, self._node_ids) or find_slot_fault(
            label, value, self._graph, self._catalog.classes
        )
        if fault is not None:
            self._add_finding(node_id, name, fault)
        return fault is None

    def _report_declared_input(self, node_id: str, name: str, fault: GraphFault, inputs: dict[str, Any]) -> None:
        """Report a declared input. If the graph policy covers it, keep it unchanged so that the policy can check it."""
        given = self._graph[node_id]
        self._add_finding(node_id, name, fault)
        if name in given.inputs and self._catalog.rules.decides_allowed_values(given.class_type, name):
            inputs[name] = given.inputs[name]

    def _has_enough_findings(self) -> bool:
        return len(self._findings) >= self._max_findings

    def _add_finding(self, node_id: str, name: str, fault: GraphFault) -> None:
        self._findings.append(Finding(fault, node_id, name))


def is_seed(name: str, spec: InputSpec) -> bool:
    """Whether the input takes the seed of a random generator."""
    return (
        name.rpartition(".")[2] in SEED_INPUTS
        and spec.type == "INT"
        and spec.min is not None
        and spec.max is not None
        and max(0, spec.min) < spec.max
    )


def _requests_random_seed(name: str, spec: InputSpec, value: Any) -> bool:
    """Whether this is a seed of -1 whose class accepts no seed below 0."""
    return spec.min == 0 and unwrap_value(value) in RANDOM_SEEDS and is_seed(name, spec)


def _build_missing_fault(
    facts: ClassFacts, name: str, spec: InputSpec, given: Mapping[str, Any], declared: DeclaredInputs
) -> GraphFault:
    """Build the fault for a missing input. Often it is given, but under its name without the group prefix."""
    allowed = tuple(spec.variants) if spec.variants is not None else spec.options
    if facts.takes_only_links(spec):
        takes = f'a link to an output of type {make_printable(spec.type)}, such as ["4", 0]'
    elif allowed is not None:
        takes = "one of its options"
    else:
        takes = f"{_TYPE_NAMES.get(spec.type, 'a value')} or a link"
    how = f"Give the node an input {format_value(name)} with" if "." in name else "Give it"
    message = f"{facts.name}.{name} is required, and is missing. {how} {takes}."
    listed = [format_value(choice) for choice in allowed or ()]
    if listed and sum(map(len, listed)) <= MAX_LISTED:
        message += f" Valid: {', '.join(listed)}."
    short = name.rpartition(".")[2]
    if short != name and short in given and short not in declared:
        message = f"The input {format_value(short)} of {facts.name} must be named {format_value(name)} here. Rename it."
    return GraphFault("required_input_missing", message, allowed if allowed and len(allowed) <= 20 else None)
