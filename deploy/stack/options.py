"""What a stack runs."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a stack.

    Attributes:
        port: the public port; 0 for a free one.
        nodes: number of simulated nodes, if ``comfyui`` is empty.
        comfyui: base URLs of real nodes, one executor each.
        step_ms: duration of a simulated sampler step, milliseconds.
        bare: run only NATS, PostgreSQL and the nodes.
    """

    state: Path
    port: int = 8000
    nodes: int = 2
    comfyui: tuple[str, ...] = ()
    step_ms: int = 50
    log_level: str = "INFO"
    bare: bool = False
