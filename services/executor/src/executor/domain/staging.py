"""From the graph that a tenant sent to the graph that a node gets."""

import re
from collections.abc import Mapping
from typing import Any

from contracts.graph_policy.input_roles import ClassRoles
from contracts.graph_policy.registry import InputRole
from contracts.scheduler import AttemptRef
from executor.domain.catalog import NodeClasses

PREFIX_INPUT = "filename_prefix"
DEFAULT_PREFIX = "ComfyUI"
MAX_PREFIX = 100  # a file name has 255 bytes, and ComfyUI appends a counter and an extension
WRAPPED = "__value__"  # ComfyUI unwraps {"__value__": x} into x

_UNSAFE = re.compile(r"[^\w .%+=@()-]", re.ASCII)
_FOLDER = re.compile(r"folder|dir|path", re.IGNORECASE)
_NAME_PART = re.compile(r"(suffix|delimiter)\d*$", re.IGNORECASE)


def stage(graph: Mapping[str, Any], ref: AttemptRef, files: Mapping[str, str], classes: NodeClasses) -> dict[str, Any]:
    """The graph with every output in a folder of this attempt alone, and files by the names that the node has for them.

    Two attempts so never meet in the node's output folder, and no output is ever answered with the files of an earlier
    run, in which the whole graph of another tenant may stand: a node's cache is keyed by all inputs. Output nodes that
    name no output (previews) are given a prefix, since ComfyUI ignores an input that a class does not have (0.33); not
    so classes of packs that may take any input. All else stays as it was sent.

    Args:
        files: names by upload id. The scheduler has seen that these ids stand only where a node takes a file.
        classes: of the node.
    """
    folder = f"{ref.job_id}/{ref.attempt}"
    return {node_id: _staged(node, folder, files, classes) for node_id, node in graph.items()}


def _staged(node: Mapping[str, Any], folder: str, files: Mapping[str, str], classes: NodeClasses) -> dict[str, Any]:
    class_type, roles = node["class_type"], classes.roles_of(node["class_type"])
    inputs = {name: _with_files(name, value, files, roles) for name, value in node["inputs"].items()}
    spec = classes.specs.get(class_type)
    declared = spec.inputs if spec is not None else {}
    naming = {name: None for name in declared if _is_set_by_us(name, roles)}
    naming |= {name: None for name in inputs if _names_output(name, roles)}
    if not naming and classes.shows(class_type) and class_type not in classes.flexible:
        naming = {PREFIX_INPUT: None}
    return {**node, "inputs": {**inputs, **_output_names(naming, inputs, folder)}}


def _with_files(name: str, value: Any, files: Mapping[str, str], roles: ClassRoles) -> Any:
    if isinstance(value, str):
        return files.get(value, value)
    if isinstance(value, dict) and roles.role_of(name) is InputRole.RECORD:
        return {part: files.get(inner, inner) if isinstance(inner, str) else inner for part, inner in value.items()}
    return value


def _is_set_by_us(name: str, roles: ClassRoles) -> bool:
    """Whether a declared input names an output, so that it must not keep the default of the class."""
    return _names_output(name, roles) and not _NAME_PART.search(name)


def _names_output(name: str, roles: ClassRoles) -> bool:
    """Also inside a dynamic input, whose parts have dotted names."""
    return name.rpartition(".")[2] == PREFIX_INPUT or roles.role_of(name) is InputRole.OUTPUT_NAME


def _output_names(naming: Mapping[str, None], inputs: Mapping[str, Any], folder: str) -> dict[str, str]:
    """A text of ours for each input that names an output, whatever was sent there.

    Where one of them names a folder, the others name files inside of it, and need no folder of their own.
    """
    places = [name for name in naming if _FOLDER.search(name.rpartition(".")[2])]
    places = places or [name for name in naming if not _NAME_PART.search(name)] or list(naming)[:1]
    return {
        name: f"{folder}/{_plain(inputs.get(name))}" if name in places else _plain(inputs.get(name)) for name in naming
    }


def _plain(sent: Any) -> str:
    """The last part of a prefix, safe as a file name. ``%batch_num%`` goes: it makes ComfyUI overwrite its files."""
    text = sent.get(WRAPPED) if isinstance(sent, dict) else sent
    if not isinstance(text, str):
        return DEFAULT_PREFIX
    last = re.split(r"[/\\]", text.replace("%batch_num%", ""))[-1]
    return _UNSAFE.sub("_", last).strip(" .")[:MAX_PREFIX] or DEFAULT_PREFIX
