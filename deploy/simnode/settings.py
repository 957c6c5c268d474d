"""What one simulated node is told when it starts; nothing here changes while it runs."""

from dataclasses import dataclass
from pathlib import Path

NEW = "0.33.0"
OLD = "0.3.64"
DEFAULT_CHECKPOINTS = ("sim_xl.safetensors", "sim_anime.safetensors")
MAX_UPLOAD_BYTES = 104_857_600  # 100 MiB, ComfyUI's default --max-upload-size


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole configuration of one node.

    Attributes:
        directory: holds ``input/``, ``output/`` and ``temp/``; made if missing; ``temp/`` is wiped at start.
        host: address to bind.
        port: TCP port, 0 for a free one.
        step_s: seconds that one sampler step takes, >= 0.
        node_s: seconds that every other node takes, >= 0; not interruptible, as a node without checkpoints is not.
        version: ``0.33.0`` or ``0.3.64``: which ComfyUI to behave like.
        name: drawn into pictures, so that a person sees which node made them.
        preview: whether samplers send preview frames (ComfyUI's default is none).
        checkpoints: file names that the checkpoint loader offers.
        without: node classes to hide.
        filler_classes: how many classes there are besides, which do nothing; see ``simnode.nodes.fillers``.
        seed: of the random delays and orders that ComfyUI leaves open.
        max_upload_bytes: largest request body; above it the answer is 413.
    """

    directory: Path
    host: str = "127.0.0.1"
    port: int = 0
    step_s: float = 0.05
    node_s: float = 0.0
    version: str = NEW
    name: str = "node-1"
    preview: bool = False
    checkpoints: tuple[str, ...] = DEFAULT_CHECKPOINTS
    without: frozenset[str] = frozenset()
    filler_classes: int = 0
    seed: int = 0
    max_upload_bytes: int = MAX_UPLOAD_BYTES

    @property
    def is_new(self) -> bool:
        """Whether the node behaves like ComfyUI 0.33 (jobs API, UUID check, throttled progress) or like 0.3.64."""
        return self.version != OLD
