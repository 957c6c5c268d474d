"""Catalogs in the format of executors, without a node."""

import random
from pathlib import Path
from typing import Any

from executor.domain.catalog import parse_catalog
from scheduler.domain.catalog import Catalog
from simnode.catalog import Catalog as SimulatedClasses
from simnode.folders import Folders
from simnode.object_info import describe
from simnode.settings import NEW, Settings
from simnode.shelf import Shelf


def catalog_of(object_info: dict[str, Any]) -> Catalog:
    """Return the catalog of a node with this ``object_info``."""
    return Catalog(parse_catalog(object_info))


def simulated_catalog(*checkpoints: str, without: frozenset[str] = frozenset()) -> Catalog:
    """Return the catalog of a simulated node with these checkpoints."""
    settings = Settings(directory=Path("/nonexistent"), version=NEW, checkpoints=checkpoints or ("a.safetensors",))
    shelf = Shelf(settings, Folders(settings.directory), random.Random(0))  # noqa: S311 - the order of nothing here
    classes = SimulatedClasses(without)
    found = {name: classes.get(name) for name in classes.names() if not name.startswith("LoadImage")}
    described = {name: describe(one, shelf) for name, one in found.items() if one is not None}
    takes_file = {"input": {"required": {"image": [[], {"image_upload": True}]}}, "output": ["IMAGE", "MASK"]}
    return catalog_of({**described, "LoadImage": {**takes_file, "output_node": False, "python_module": "nodes"}})
