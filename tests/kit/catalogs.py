"""Catalogs as executors report them, built without a node."""

import random
from pathlib import Path
from typing import Any

from executor.domain.catalog import parse_catalog
from scheduler.domain.catalog import Catalog
from simnode.catalog import Catalog as SimulatedClasses
from simnode.folders import Folders
from simnode.object_info import describe_class
from simnode.resources import NodeResources
from simnode.settings import VERSION_0_33, Settings


def build_catalog(object_info: dict[str, Any]) -> Catalog:
    """Return the catalog of a node with this ``object_info``."""
    return Catalog(parse_catalog(object_info))


def simulated_catalog(*checkpoints: str, without: frozenset[str] = frozenset()) -> Catalog:
    """Return the catalog of a simulated node with these checkpoints."""
    settings = Settings(
        directory=Path("/nonexistent"), version=VERSION_0_33, checkpoints=checkpoints or ("a.safetensors",)
    )
    resources = NodeResources(settings, Folders(settings.directory), random.Random(0))  # noqa: S311 - not a secret
    classes = SimulatedClasses(without)
    found = {name: classes.find_class(name) for name in classes.list_names() if not name.startswith("LoadImage")}
    described = {name: describe_class(one, resources) for name, one in found.items() if one is not None}
    takes_file = {"input": {"required": {"image": [[], {"image_upload": True}]}}, "output": ["IMAGE", "MASK"]}
    return build_catalog({**described, "LoadImage": {**takes_file, "output_node": False, "python_module": "nodes"}})
