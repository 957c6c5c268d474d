"""Describes the inputs of a workflow for a form, from the classes of the fleet."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from contracts.catalog import InputSpec, Scalar
from contracts.graph_policy.input_roles import ClassRoles
from contracts.graph_policy.registry import InputRole
from contracts.scheduler.submissions import EmptyFleet, InvalidWorkflow
from contracts.scheduler.workflow_forms import FormInput, FormOutput, InputFormat, WorkflowForm
from contracts.wire.errors import FieldError
from contracts.wire.show_values import format_value
from contracts.wire.text import escape_pointer_key
from contracts.workflow import MAX_ERRORS, Graph, GraphNode, graph_to_json, is_link, is_ui_format, read_graph
from scheduler.domain.catalog import Catalog
from scheduler.domain.editor_file.convert import convert_editor_file
from scheduler.domain.editor_file_check import list_inexact_errors
from scheduler.domain.validation.declared_inputs import resolve_inputs, unwrap_value
from scheduler.domain.validation.graph_check import is_seed

MAX_INPUTS = 1_000
MAX_OPTIONS = 500  # of one input
MAX_TOTAL_OPTIONS = 20_000  # of all inputs; further inputs have none, but state how many there are
LONG_TEXT = 60  # characters; longer values need more than one line

# Forms show prompts and files first, then the inputs that people change often, then all others, marked as advanced.
_PROMPT_INPUTS = ("text", "prompt", "positive", "negative", "positive_prompt", "negative_prompt")
_COMMON_INPUTS = (
    "seed", "noise_seed", "steps", "cfg", "guidance", "width", "height", "batch_size", "length", "denoise", "ckpt_name",
    "unet_name", "lora_name", "strength_model", "sampler_name", "scheduler", "value",
)  # fmt: skip
_UPLOAD_FORMATS_BY_WORD = {
    "image": InputFormat.IMAGE_UPLOAD, "mask": InputFormat.MASK_UPLOAD, "audio": InputFormat.AUDIO_UPLOAD,
    "video": InputFormat.VIDEO_UPLOAD,
}  # fmt: skip
_UPLOAD_FORMATS_BY_CLASS = {
    "LoadImageMask": InputFormat.MASK_UPLOAD, "LoadVideo": InputFormat.VIDEO_UPLOAD,
    "LoadAudio": InputFormat.AUDIO_UPLOAD,
}  # fmt: skip
_JSON_TYPES = {"INT": "integer", "FLOAT": "number", "BOOLEAN": "boolean", "STRING": "string"}


class _LiteralInput(NamedTuple):
    """An input with a literal value. ``spec``: its declaration; None if the class is unknown or does not declare it."""

    node_id: str
    node: GraphNode
    name: str
    value: Scalar
    spec: InputSpec | None


def describe_workflow(raw: Mapping[str, Any], catalogs: Sequence[Catalog], *, now: datetime) -> WorkflowForm:
    """Describe the literal inputs of a workflow.

    Args:
        raw: a graph in API format, or a file of ComfyUI's editor.
        catalogs: one per kind of node. The catalog with most of the classes declares the inputs; options are merged.
        now: time for dates in file names of editor files.

    Raises:
        InvalidWorkflow: the body is not a graph, or a file that cannot be converted exactly.
        EmptyFleet: there are no catalogs.
    """
    if not catalogs:
        raise EmptyFleet(retry_after_s=5)
    converted: dict[str, Any] | None = None
    if is_ui_format(raw):
        graph, catalog = _convert_workflow(raw, catalogs, now)
        converted = graph_to_json(graph)
    else:
        graph, errors = read_graph(raw, "/workflow")
        if errors:
            raise InvalidWorkflow(errors)
        catalog = max(
            catalogs, key=lambda candidate: sum(node.class_type in candidate.classes for node in graph.values())
        )
    warnings = [
        FieldError(
            pointer=f"/workflow/{escape_pointer_key(node_id)}"[:256],
            code="unknown_class",
            message=f"No ComfyUI server of the fleet has the class {format_value(node.class_type)}.",
            node_id=node_id,
        )
        for node_id, node in graph.items()
        if node.class_type not in catalog.classes
    ]
    inputs = list(_describe_inputs(graph, catalog, catalogs, warnings))
    outputs = tuple(
        FormOutput(node_id=node_id, node_class=node.class_type, node_title=_find_title(node))
        for node_id, node in graph.items()
        if node.class_type in catalog.classes and catalog.classes[node.class_type].output_node
    )
    return WorkflowForm(graph=converted, inputs=tuple(inputs), outputs=outputs, warnings=tuple(warnings[:MAX_ERRORS]))


def _convert_workflow(raw: Mapping[str, Any], catalogs: Sequence[Catalog], now: datetime) -> tuple[Graph, Catalog]:
    fewest: tuple[FieldError, ...] = ()
    for catalog in catalogs:
        converted = convert_editor_file(raw, catalog, draw_number=lambda _: 0, now=now)
        errors = list_inexact_errors(converted, catalog) or read_graph(graph_to_json(converted.graph), "/workflow")[1]
        if not errors:
            return converted.graph, catalog
        fewest = min((fewest or errors, errors), key=len)
    raise InvalidWorkflow(fewest[:MAX_ERRORS])


def _describe_inputs(
    graph: Graph, catalog: Catalog, catalogs: Sequence[Catalog], warnings: list[FieldError]
) -> Iterator[FormInput]:
    literals = sorted(_list_literal_inputs(graph, catalog), key=_build_sort_key)
    if len(literals) > MAX_INPUTS:
        message = f"The workflow has {len(literals)} inputs with a value; the first {MAX_INPUTS} are described."
        warnings.append(FieldError(pointer="/workflow", code="too_many_inputs", message=message))
    prompts = _find_prompt_roles(graph)
    all_options, options_left = _OptionsOfAllNodes(catalogs), MAX_TOTAL_OPTIONS
    for literal in literals[:MAX_INPUTS]:
        options = all_options.list_options(literal)
        if options is not None and literal.value not in options:
            warnings.append(_describe_missing_option(literal))
        shown = None if options is None else tuple(islice(options, min(MAX_OPTIONS, options_left)))
        options_left -= len(shown or ())
        yield _describe_input(literal, prompts.get(literal.node_id), shown, len(options or ()))


def _describe_input(
    literal: _LiteralInput, role: str | None, options: tuple[Scalar, ...] | None, total: int
) -> FormInput:
    spec = literal.spec
    format_ = _find_format(literal)
    title = f"{role} prompt" if role and format_ is InputFormat.MULTILINE else _humanize_name(literal.name)
    return FormInput(
        node_id=literal.node_id,
        node_class=literal.node.class_type,
        node_title=_find_title(literal.node),
        input=literal.name,
        title=title,
        type=_find_type(literal),
        format=format_,
        minimum=spec.min if spec is not None else None,
        maximum=spec.max if spec is not None else None,
        options=options,
        options_total=total,
        default=None if spec is None or spec.upload or (spec.options and options is None) else spec.default,
        value=literal.value,
        advanced=_build_sort_key(literal)[0] > 1,
    )


def _list_literal_inputs(graph: Graph, catalog: Catalog) -> Iterator[_LiteralInput]:
    for node_id, node in graph.items():
        facts = catalog.get_class_facts(node.class_type) if node.class_type in catalog.classes else None
        declared = resolve_inputs(facts, node.inputs) if facts is not None else {}
        for name, given in node.inputs.items():
            value = unwrap_value(given)
            spec = declared[name][0] if name in declared else None
            if is_link(given) or not isinstance(value, str | int | float | bool):
                continue
            if spec is not None and facts is not None and facts.takes_only_links(spec):
                continue
            yield _LiteralInput(node_id, node, name, value, spec)


def _build_sort_key(literal: _LiteralInput) -> tuple[int, int]:
    """Return the sort key of an input: prompts and files, then usual ones in a fixed order, then all others."""
    name = literal.name.rpartition(".")[2]
    if literal.spec is not None and literal.spec.upload:
        return 0, 0
    if isinstance(literal.value, str) and name in _PROMPT_INPUTS:
        return 0, 1
    return (1, _COMMON_INPUTS.index(name)) if name in _COMMON_INPUTS else (2, 0)


class _OptionsOfAllNodes:
    """The options of inputs on all nodes, each merged once. Names of files and folders on nodes are never shown."""

    def __init__(self, catalogs: Sequence[Catalog]) -> None:
        self._catalogs = catalogs
        self._found: dict[tuple[str, str], dict[Scalar, None] | None] = {}

    def list_options(self, literal: _LiteralInput) -> dict[Scalar, None] | None:
        """Return the options in their order; None if the input is not a choice, or its options are private."""
        if literal.spec is None or literal.spec.upload:
            return None
        if literal.spec.variants is not None:
            return dict.fromkeys(literal.spec.variants)
        key = (literal.node.class_type, literal.name)
        if key not in self._found:
            self._found[key] = self._merge_options(literal.spec, *key)
        return self._found[key]

    def _merge_options(self, spec: InputSpec, class_type: str, name: str) -> dict[Scalar, None] | None:
        if spec.options is None:
            return None
        specs = [catalog.classes[class_type] for catalog in self._catalogs if class_type in catalog.classes]
        if ClassRoles(class_type, specs[0]).find_role(name) in {InputRole.FILE, InputRole.FOLDER}:
            return None
        declared = [class_spec.inputs[name] for class_spec in specs if name in class_spec.inputs] or [spec]
        return dict.fromkeys(option for input_spec in declared for option in input_spec.options or ())


def _find_format(literal: _LiteralInput) -> InputFormat | None:
    spec, name = literal.spec, literal.name.rpartition(".")[2]
    if spec is None:
        return None
    if spec.upload:
        class_format = _UPLOAD_FORMATS_BY_CLASS.get(literal.node.class_type)
        return class_format or next(
            (format_ for word, format_ in _UPLOAD_FORMATS_BY_WORD.items() if word in name), InputFormat.FILE_UPLOAD
        )
    if is_seed(literal.name, spec):
        return InputFormat.SEED
    if spec.type == "STRING" and isinstance(literal.value, str):
        is_long = len(literal.value) > LONG_TEXT or "\n" in literal.value
        return InputFormat.MULTILINE if is_long or spec.dynamic_prompts or name in _PROMPT_INPUTS else None
    return None


def _find_type(literal: _LiteralInput) -> str:
    """Return the JSON Schema type of the declared type; if that has none, the JSON Schema type of the value."""
    declared = _JSON_TYPES.get(literal.spec.type) if literal.spec is not None else None
    if declared is not None:
        return declared
    for kind, name in ((bool, "boolean"), (int, "integer"), (float, "number")):
        if isinstance(literal.value, kind):
            return name
    return "string"


def _find_prompt_roles(graph: Graph) -> dict[str, str]:
    """Return "Positive" or "Negative" for nodes that such an input of another node is linked to."""
    roles: dict[str, str] = {}
    for node in graph.values():
        for name, role in (("negative", "Negative"), ("positive", "Positive")):
            link = node.inputs.get(name, "")
            if is_link(link):
                roles[link[0]] = role
    return roles


def _describe_missing_option(literal: _LiteralInput) -> FieldError:
    return FieldError(
        pointer=f"/workflow/{escape_pointer_key(literal.node_id)}/inputs/{escape_pointer_key(literal.name)}"[:256],
        code="not_an_option",
        message=f"No node of the fleet has the value {format_value(literal.value)} for "
        f"{literal.node.class_type}.{literal.name}.",
        node_id=literal.node_id,
        input=literal.name,
    )


def _find_title(node: GraphNode) -> str | None:
    title = (node.meta or {}).get("title")
    return title if isinstance(title, str) and title else None


def _humanize_name(name: str) -> str:
    words = name.rpartition(".")[2].replace("_", " ").strip()
    return words[:1].upper() + words[1:]
