"""Settings of one simulated node, fixed when it starts."""

from dataclasses import dataclass
from pathlib import Path

VERSION_0_33 = "0.33.0"
VERSION_0_3 = "0.3.64"
DEFAULT_CHECKPOINTS = ("sim_xl.safetensors", "sim_anime.safetensors")
MAX_UPLOAD_BYTES = 104_857_600  # 100 MiB, ComfyUI's default --max-upload-size


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of one simulated ComfyUI server.

    Attributes:
        directory: contains ``input/``, ``output/`` and ``temp/``; created if missing; ``temp/`` is emptied at start.
        host: address to bind.
        port: TCP port, 0 for a free one.
        step_s: seconds that one sampler step takes, >= 0.
        node_s: seconds that each other graph node takes, >= 0; it cannot be interrupted.
        version: ``0.33.0`` or ``0.3.64``: the ComfyUI version to simulate.
        name: drawn into images, so that a person sees which node produced them.
        preview: whether samplers send preview frames (ComfyUI's default is none).
        checkpoints: model file names that the checkpoint loader offers.
        without: node classes to hide.
        filler_classes: number of additional classes that do nothing; see ``simnode.nodes.fillers``.
        seed: seed of random delays and of orders that ComfyUI leaves undefined.
        max_upload_bytes: largest request body; beyond it the response is 413.
    """

    directory: Path
    host: str = "127.0.0.1"
    port: int = 0
    step_s: float = 0.05
    node_s: float = 0.0
    version: str = VERSION_0_33
    name: str = "node-1"
    preview: bool = False
    checkpoints: tuple[str, ...] = DEFAULT_CHECKPOINTS
    without: frozenset[str] = frozenset()
    filler_classes: int = 0
    seed: int = 0
    max_upload_bytes: int = MAX_UPLOAD_BYTES

    @property
    def is_0_33(self) -> bool:
        """Whether to behave like ComfyUI 0.33 (jobs API, UUID check, throttled progress) instead of 0.3.64."""
        return self.version != VERSION_0_3
