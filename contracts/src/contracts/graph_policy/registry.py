"""Stock classes of ComfyUI, reviewed by hand: ``stock_classes.json``; docs/operations/graph-policy.md explains them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from types import MappingProxyType
from typing import Any

_API_PREFIX = "comfy_api_nodes."
_STOCK_PREFIXES = ("comfy_extras.", _API_PREFIX)
_STOCK_MODULES = frozenset({"nodes", "custom_nodes.websocket_image_save"})


class Trait(StrEnum):
    """A reviewed property of a class.

    A class with a trait in ``STRICT_REASONS`` is not safe; other traits are informative.
    """

    NETWORK = "network"
    WRITES_MODELS = "writes_models"
    WRITES_DATASETS = "writes_datasets"
    READS_FOLDERS = "reads_folders"
    READS_OUTPUTS = "reads_outputs"
    NAMES_OWN_OUTPUT = "names_own_output"  # writes to the output folder under a name that no input controls
    RUNS_CODE = "runs_code"
    USER_REGEX = "user_regex"
    LOADS_CONFIG = "loads_config"
    TRAINS = "trains"
    PROCESS_STATE = "process_state"  # changes process state that later prompts see
    CHOOSES_DEVICE = "chooses_device"
    REPEATS_GRAPH = "repeats_graph"
    UNBOUNDED = "unbounded"  # time or memory depends on a value that no tier limit covers

    READS_FILES = "reads_files"
    WRITES_FILES = "writes_files"  # to the output folder
    WRITES_TEMPORARY = "writes_temporary"  # to the temporary folder, under a random name
    LOADS_MODELS = "loads_models"
    DECODES_MEDIA = "decodes_media"  # time and memory depend on the length of an uploaded video or sound
    EVALUATES_EXPRESSION = "evaluates_expression"
    JOINS_TEXT = "joins_text"  # produces text as long as the sum of its text inputs
    MULTIPLIES_TEXT = "multiplies_text"  # produces text as long as the product of its text inputs


class InputRole(StrEnum):
    """The meaning of an input's value."""

    FILE = "file"  # a file in the node's input folder: one of the tenant's uploads, or empty
    FOLDER = "folder"  # a folder on the node
    MODEL = "model"  # a model file on the node, or another value of its option list
    OUTPUT_NAME = "output_name"  # name of an output file: set by the executor
    URL = "url"
    REGEX = "regex"
    CODE = "code"
    FORMAT = "format"  # a Python format string: see ``format_strings.is_plain_format``
    EXPRESSION = "expression"  # arithmetic: see ``expressions.has_bounded_cost``
    SHORT_TEXT = "short_text"  # text that takes quadratic time: only a literal of at most ``MAX_SHORT_TEXT`` characters
    PASSES = "passes"  # number of passes over all pixels: counts like steps
    RECORD = "record"  # an object whose parts have roles named "input.part": only a literal object, not a link or text


MAX_SHORT_TEXT = (
    5_000  # the worst text for ManualSigmas: 20,000 characters block a node for 13 s, 5,000 for less than 1 s
)

STRICT_REASONS: Mapping[Trait, str] = MappingProxyType(
    {
        Trait.NETWORK: "It sends data to a service outside the fleet.",
        Trait.WRITES_MODELS: "It writes model files to the ComfyUI server.",
        Trait.WRITES_DATASETS: "It writes datasets to folders that other jobs can read.",
        Trait.READS_FOLDERS: "It reads whole folders of the ComfyUI server.",
        Trait.READS_OUTPUTS: "It reads what other jobs wrote.",
        Trait.NAMES_OWN_OUTPUT: "It writes outside the job's folder, under a name of its own.",
        Trait.RUNS_CODE: "It runs code from the workflow.",
        Trait.USER_REGEX: "It runs a regular expression from the workflow, which can block the ComfyUI server.",
        Trait.LOADS_CONFIG: "It builds a model from configuration files of the ComfyUI server.",
        Trait.TRAINS: "It trains a model, for as long as the workflow says.",
        Trait.PROCESS_STATE: "It changes the ComfyUI server for later jobs.",
        Trait.CHOOSES_DEVICE: "It moves work to another device of the machine.",
        Trait.REPEATS_GRAPH: "It repeats parts of the workflow, so the cost cannot be checked.",
        Trait.UNBOUNDED: "Its time or memory cannot be checked before it runs.",
    }
)
TRAITS_REFUSED_WHEN_OPEN = frozenset({Trait.NETWORK, Trait.WRITES_MODELS})


@dataclass(frozen=True, slots=True)
class StockClass:
    """One reviewed class.

    Attributes:
        module: its module in the newest reviewed version; classes move between versions.
        inputs: roles by input name. A dot separates nested names; "*" matches any one part.
        plain: inputs whose name looks like a path, a model or code, but whose value is not.
    """

    name: str
    module: str
    traits: frozenset[Trait]
    inputs: Mapping[str, InputRole]
    plain: frozenset[str]

    @property
    def unsafe_trait(self) -> Trait | None:
        """The trait for which the policy ``strict`` refuses the class; None if the class is safe."""
        return next((trait for trait in STRICT_REASONS if trait in self.traits), None)

    def find_role(self, input_name: str) -> InputRole | None:
        if (role := self.inputs.get(input_name)) is not None:
            return role
        parts = input_name.split(".", 3)  # group, row, input
        return self.inputs.get(f"{parts[0]}.*.{parts[2]}") if len(parts) == 3 else None


def is_stock_module(module: str) -> bool:
    """Whether the ``python_module`` in a node's catalog is part of ComfyUI.

    ComfyUI also reports "nodes" for a class that a custom pack adds directly to ``NODE_CLASS_MAPPINGS``.
    """
    return module in _STOCK_MODULES or module.startswith(_STOCK_PREFIXES)


def find_stock_class(name: str, module: str) -> StockClass | None:
    """Return the reviewed class of this name, if the node's catalog says that its module is stock.

    Returns None for a class of a custom pack, whatever its name, and for an unreviewed stock class. An unreviewed class
    of the partner API counts as one that uses the network, like all of them.
    """
    if not is_stock_module(module):
        return None
    if (found := STOCK_CLASSES.get(name)) is not None:
        return found
    if module.startswith(_API_PREFIX):
        return StockClass(name, module, frozenset({Trait.NETWORK}), MappingProxyType({}), frozenset())
    return None


def is_unreviewed(name: str, module: str) -> bool:
    """Whether this is a stock class that has not been reviewed."""
    return is_stock_module(module) and name not in STOCK_CLASSES


def _load_classes() -> Mapping[str, StockClass]:
    text = resources.files(__package__).joinpath("stock_classes.json").read_text(encoding="utf-8")
    described: dict[str, dict[str, Any]] = json.loads(text)
    return MappingProxyType({name: _parse_class(name, entry) for name, entry in described.items()})


def _parse_class(name: str, entry: Mapping[str, Any]) -> StockClass:
    roles = {given: InputRole(role) for given, role in entry.get("inputs", {}).items()}
    return StockClass(
        name=name,
        module=entry["module"],
        traits=frozenset(Trait(trait) for trait in entry.get("traits", ())),
        inputs=MappingProxyType(roles),
        plain=frozenset(entry.get("plain", ())),
    )


STOCK_CLASSES = _load_classes()
