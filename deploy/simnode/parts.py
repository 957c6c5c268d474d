"""The components of one running node."""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass

from simnode.cache import NodeCache
from simnode.catalog import ONLY_NEW, Catalog
from simnode.faults import ArmedFaults
from simnode.folders import Folders
from simnode.history import History
from simnode.hub import Hub
from simnode.interrupts import InterruptFlag
from simnode.ledger import Ledger
from simnode.node_log import NodeLog
from simnode.prompt_queue import PromptQueue
from simnode.settings import Settings
from simnode.shelf import Shelf


@dataclass(slots=True)
class Parts:
    """The components of one node. Except for the files all state is in memory.

    Attributes:
        die: ends the process immediately with an exit status; replaced in tests.
        counter: number of the next prompt.
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
    shelf: Shelf
    catalog: Catalog
    cache: NodeCache
    log: NodeLog
    die: Callable[[int], None] = os._exit
    counter: int = 0
    vram_gib: int = 24
    poisoned: bool = False

    @classmethod
    def build(cls, settings: Settings) -> "Parts":
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
            shelf=Shelf(settings, folders, rng),
            catalog=Catalog(settings.without | (frozenset() if settings.is_new else ONLY_NEW), settings.filler_classes),
            cache=NodeCache(),
            log=NodeLog(),
        )
