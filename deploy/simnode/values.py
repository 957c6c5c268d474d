"""Values on links: small immutable stand-ins for tensors and models. An IMAGE is a list of Pillow images."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from PIL.Image import Image

    Images: TypeAlias = list[Image]

MAX_BYTES = 64 * 2**30  # a larger allocation fails immediately, as with torch's allocator


@dataclass(frozen=True, slots=True)
class Model:
    """MODEL, CLIP or VAE: the file that it came from, and what was applied to it."""

    file: str
    loras: tuple[str, ...] = ()
    pixel_space: bool = False


@dataclass(frozen=True, slots=True)
class Conditioning:
    """A CONDITIONING value. Its text is drawn into the image; None if it was created without a text."""

    text: str | None


@dataclass(frozen=True, slots=True)
class Sampling:
    """The sampling parameters of a latent, for the drawing."""

    seed: int
    done: int
    steps: int
    cfg: float
    sampler: str
    scheduler: str
    denoise: float
    checkpoint: str
    positive: str | None
    negative: str | None


@dataclass(frozen=True, slots=True)
class Latent:
    """LATENT: ``batch`` images of ``width`` x ``height`` pixels, from pixels, from sampling, or empty."""

    width: int
    height: int
    batch: int
    sampling: Sampling | None = None
    pixels: "tuple[Image, ...]" = ()
    mask: "tuple[Image, ...]" = ()


@dataclass(frozen=True, slots=True)
class Silence:
    """AUDIO: a number of silent samples."""

    samples: int
    sample_rate: int
    channels: int


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """VIDEO or FILE_3D: the unchanged bytes of a file. ``suffix`` is its file name extension."""

    content: bytes
    suffix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedLatent(Latent):
    """A latent from a file."""

    file: LoadedFile


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSilence(Silence):
    """Audio from a file. It plays as silence."""

    file: LoadedFile


def check_size_limit(values: int) -> None:
    """Refuse huge sizes as torch does.

    Args:
        values: number of 4-byte floats that the real node would hold.

    Raises:
        RuntimeError: more than 64 GiB.
    """
    size = values * 4
    if size > MAX_BYTES:
        message = f"DefaultCPUAllocator: can't allocate memory: you tried to allocate {size} bytes."
        raise RuntimeError(message)
