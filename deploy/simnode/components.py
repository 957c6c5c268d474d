"""The components of one running node."""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass

from simnode.cache import NodeCache
from simnode.catalog import CLASSES_SINCE_0_33, Catalog
from simnode.faults import ArmedFaults
from simnode.folders import Folders
from simnode.history import History
from simnode.hub import Hub
from simnode.interrupts import InterruptFlag
from simnode.ledger import Ledger
from simnode.node_log import NodeLog
from simnode.prompt_queue import PromptQueue
from simnode.resources import NodeResources
from simnode.settings import Settings


@dataclass(slots=True)
class NodeComponents:
    """The components of one simulated ComfyUI node. They keep everything but files in memory.

    Attributes:
        exit_process: ends the process immediately with an exit status; replaced in tests.
        counter: the next queue number.
        vram_gib: memory of the GPU that the node reports.
        poisoned: the device context is broken; only a restart helps.
    """

    settings: Settings
    folders: Folders
    rng: random.Random
    faults: ArmedFaults
    ledger: Ledger
    hub: Hub
    queue: PromptQueue
    history: History
    interrupts: InterruptFlag
    resources: NodeResources
    catalog: Catalog
    cache: NodeCache
    log: NodeLog
    exit_process: Callable[[int], None] = os._exit
    counter: int = 0
    vram_gib: int = 24
    poisoned: bool = False

    @classmethod
    def build(cls, settings: Settings) -> "NodeComponents":
        """Construct the components of one node. Nothing is started and no folder is created."""
        folders = Folders(settings.directory)
        rng = random.Random(settings.seed)  # noqa: S311 - delays and orders, not secrets
        faults = ArmedFaults()
        hub = Hub(faults)
        return cls(
            settings=settings,
            folders=folders,
            rng=rng,
            faults=faults,
            ledger=Ledger(),
            hub=hub,
            queue=PromptQueue(hub),
            history=History(),
            interrupts=InterruptFlag(faults),
            resources=NodeResources(settings, folders, rng),
            catalog=Catalog(
                settings.without | (frozenset() if settings.is_0_33 else CLASSES_SINCE_0_33), settings.filler_classes
            ),
            cache=NodeCache(),
            log=NodeLog(),
        )
