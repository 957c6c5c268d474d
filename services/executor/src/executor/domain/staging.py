"""From the graph that a tenant sent to the graph that a node gets."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from contracts.scheduler import AttemptRef

PREFIX_INPUT = "filename_prefix"
DEFAULT_PREFIX = "ComfyUI"
MAX_PREFIX = 100  # a file name has 255 bytes, and ComfyUI appends a counter and an extension

_UNSAFE = re.compile(r"[^\w .%+=@()-]", re.ASCII)


def stage(
    graph: Mapping[str, Any], ref: AttemptRef, files: Mapping[str, str], *, shows: Callable[[str], bool]
) -> dict[str, Any]:
    """The graph with every output in a folder of this attempt alone, and files by the names that the node has for them.

    Two attempts so never meet in the node's output folder, and no output is ever answered with the files of an earlier
    run, in which the whole graph of another tenant may stand: a node's cache is keyed by all inputs. Output nodes that
    have no prefix (previews) are given one, since ComfyUI ignores an input that a class does not have (0.33). All else
    stays as it was sent.

    Args:
        files: names by upload id. The scheduler has seen that these ids stand only where a node takes a file.
        shows: whether nodes of a class show what they are given, which is what makes them outputs.
    """
    folder = f"{ref.job_id}/{ref.attempt}"
    return {node_id: _staged(node, folder, files, shows=shows(node["class_type"])) for node_id, node in graph.items()}


def _staged(node: Mapping[str, Any], folder: str, files: Mapping[str, str], *, shows: bool) -> dict[str, Any]:
    inputs = ({PREFIX_INPUT: DEFAULT_PREFIX} if shows else {}) | node["inputs"]
    for name, value in inputs.items():
        if isinstance(value, str):
            inputs[name] = f"{folder}/{_plain(value)}" if _names_files(name) else files.get(value, value)
    return {**node, "inputs": inputs}


def _names_files(name: str) -> bool:
    """Also inside a dynamic input, whose parts have dotted names."""
    return name.rpartition(".")[2] == PREFIX_INPUT


def _plain(prefix: str) -> str:
    """The last part of a prefix, safe as a file name. ``%batch_num%`` goes: it makes ComfyUI overwrite its files."""
    last = re.split(r"[/\\]", prefix.replace("%batch_num%", ""))[-1]
    return _UNSAFE.sub("_", last).strip(" .")[:MAX_PREFIX] or DEFAULT_PREFIX
