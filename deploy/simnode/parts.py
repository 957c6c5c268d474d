"""The parts of one running node, made together and handed to whatever needs them."""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass

from simnode.cache import NodeCache
from simnode.catalog import ONLY_NEW, Catalog
from simnode.faults import FaultBoard
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
    """Everything one node consists of; all of it is memory and gone with the process, but for the files.

    Attributes:
        die: ends the process at once with an exit status; replaced in tests that must survive it.
        counter: number of the next prompt posted.
        poisoned: the device context is broken; only a restart helps.
    """

    settings: Settings
    folders: Folders
    rng: random.Random
    faults: FaultBoard
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
    poisoned: bool = False

    @classmethod
    def build(cls, settings: Settings) -> "Parts":
        """Make the parts of one node; nothing is started and no folder touched."""
        folders = Folders(settings.directory)
        rng = random.Random(settings.seed)  # noqa: S311 - delays and orders, not secrets
        faults = FaultBoard()
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
