"""Validates graphs with the same rules, error types and texts as ComfyUI.

Inputs are cast in place, so the stored workflow can differ from the submitted one.
"""

import traceback
from dataclasses import dataclass, field

from simnode.catalog import Catalog
from simnode.failures import get_exception_type
from simnode.input_checks import InputChecker, build_input_error
from simnode.resources import NodeResources
from simnode.wire import Document, Workflow


@dataclass(slots=True)
class ValidationResult:
    """Result of a validation. ``error`` is None if at least one output can run."""

    error: Document | None = None
    outputs: list[str] = field(default_factory=list)
    node_errors: Document = field(default_factory=dict)


class _CycleFound(Exception):
    """A cycle. ComfyUI 0.3 recurses until it fails and reports nothing about the cycle."""


def validate(
    prompt: Workflow, catalog: Catalog, resources: NodeResources, targets: list[str] | None = None
) -> ValidationResult:
    """Validate a graph.

    Args:
        prompt: the graph; inputs are cast in place.
        catalog: known classes.
        resources: files and models that options depend on.
        targets: if set, only these outputs count (``partial_execution_targets``).

    Raises:
        TypeError: the graph or a node is not an object; answered with 500, as in ComfyUI.
    """
    _check_shape(prompt, is_0_33=resources.settings.is_0_33)
    for node_id in prompt:
        error = _find_class_error(prompt[node_id], node_id, catalog, is_0_33=resources.settings.is_0_33)
        if error is not None:
            return ValidationResult(error)
    outputs = [node_id for node_id, node in prompt.items() if catalog.get_node_class(node).output_node]
    outputs = [node_id for node_id in outputs if targets is None or node_id in targets]
    if not outputs:
        return ValidationResult(build_request_error("prompt_no_outputs", "Prompt has no outputs"))
    return _Validation(prompt, catalog, resources).validate_outputs(outputs)


def build_request_error(kind: str, message: str, details: str = "", extra: Document | None = None) -> Document:
    """Return the ``error`` object of a 400 body."""
    return {"type": kind, "message": message, "details": details, "extra_info": extra or {}}


def _check_shape(prompt: object, *, is_0_33: bool) -> None:
    if not isinstance(prompt, dict):
        raise TypeError("prompt is not an object")
    for node in prompt.values():
        if not isinstance(node, dict) or (is_0_33 and "inputs" in node and node["inputs"] is None):
            raise TypeError("a node is not an object with inputs")


def _find_class_error(node: Document, node_id: str, catalog: Catalog, *, is_0_33: bool) -> Document | None:
    class_type = node.get("class_type")
    if class_type is not None and catalog.find_class(class_type) is not None:
        return None
    details = f"Node ID '#{node_id}'"
    if not is_0_33:
        text = (
            "Cannot execute because a node is missing the class_type property."
            if "class_type" not in node
            else f"Cannot execute because node {class_type} does not exist."
        )
        return build_request_error("invalid_prompt", text, details)
    title = node.get("_meta", {}).get("title", class_type)
    message = f"Node '{title}' not found. The custom node may not be installed."
    if class_type is None:
        title = node.get("_meta", {}).get("title")
        shown = title or f"ID #{node_id}"
        message = f"Node '{shown}' has no class_type. The workflow may be corrupted or a custom node is missing."
    extra = {"node_id": node_id, "class_type": class_type, "node_title": title}
    return build_request_error("missing_node_type", message, details, extra)


class _Validation:
    """Walks the graph from its outputs and checks each node once."""

    def __init__(self, prompt: Workflow, catalog: Catalog, resources: NodeResources) -> None:
        self._prompt = prompt
        self._catalog = catalog
        self._is_0_33 = resources.settings.is_0_33
        self._checker = InputChecker(prompt, catalog, resources)
        self._judged: dict[str, tuple[bool, list[Document]]] = {}
        self._path: list[str] = []

    def validate_outputs(self, outputs: list[str]) -> ValidationResult:
        verdict = ValidationResult()
        own_errors: list[Document] = []
        for output in outputs:
            valid, reasons = self._validate_output(output)
            if valid:
                verdict.outputs.append(output)
            else:
                own_errors += reasons
                self._collect_errors(verdict.node_errors, output)
        if not verdict.outputs:
            details = "\n".join(f"{one['message']}: {one['details']}" for one in own_errors)
            message = "Prompt outputs failed validation"
            verdict.error = build_request_error("prompt_outputs_failed_validation", message, details)
        return verdict

    def _validate_output(self, output: str) -> tuple[bool, list[Document]]:
        self._path = []
        try:
            return self._validate_node(output)
        except _CycleFound:
            return False, []
        except Exception as error:  # noqa: BLE001 - a graph that breaks the rules of the walk is reported, not raised
            reason = build_input_error(
                "exception_during_validation",
                "Exception when validating node",
                str(error),
                {"exception_type": get_exception_type(error), "traceback": traceback.format_tb(error.__traceback__)},
            )
            self._judged[output] = (False, [reason])
            return self._judged[output]

    def _validate_node(self, node_id: str) -> tuple[bool, list[Document]]:
        if node_id in self._judged:
            return self._judged[node_id]
        if node_id in self._path:
            return self._report_cycle(node_id)
        inputs = self._prompt[node_id]["inputs"]
        self._path.append(node_id)
        errors: list[Document] = []
        valid = True
        for name in self._checker.list_input_names(node_id):
            linked = isinstance(inputs.get(name), list)  # before wrapped lists are unwrapped, which are values
            found = self._checker.check_input(node_id, name)
            if found is not None:
                errors.append(found)
            elif linked and not self._validate_link(name, inputs[name]):
                valid = False
        errors += self._checker.run_custom_check(node_id)
        self._path.pop()
        self._judged.setdefault(node_id, (valid and not errors, errors))
        return self._judged[node_id]

    def _validate_link(self, name: str, link: list[str]) -> bool:
        try:
            return self._validate_node(link[0])[0]
        except _CycleFound:
            raise
        except Exception as error:  # noqa: BLE001 - reported on the node that broke
            extra = {
                "input_name": name,
                "exception_message": str(error),
                "exception_type": get_exception_type(error),
                "traceback": traceback.format_tb(error.__traceback__),
                "linked_node": link,
            }
            text = "Exception when validating inner node"
            reason = build_input_error("exception_during_inner_validation", text, str(error), extra)
            self._judged[link[0]] = (False, [reason])
            return False

    def _report_cycle(self, node_id: str) -> tuple[bool, list[Document]]:
        if not self._is_0_33:
            raise _CycleFound
        loop = [*self._path[self._path.index(node_id) :], node_id]
        told = " -> ".join(f"{one} ({self._prompt[one]['class_type']})" for one in loop)
        members = list(dict.fromkeys(loop))
        for one in members:
            extra = {"node_id": one, "cycle_nodes": members}
            self._judged[one] = (
                False,
                [build_input_error("dependency_cycle", "Dependency cycle detected", told, extra)],
            )
        return self._judged[node_id]

    def _collect_errors(self, node_errors: Document, output: str) -> None:
        for node_id, (valid, reasons) in self._judged.items():
            if valid or not reasons:
                continue
            class_type = self._prompt[node_id]["class_type"]
            entry = node_errors.setdefault(
                node_id, {"errors": reasons, "dependent_outputs": [], "class_type": class_type}
            )
            entry["dependent_outputs"].append(output)
