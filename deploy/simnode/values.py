"""What flows along links: small immutable stand-ins for tensors and models. An IMAGE is a list of Pillow pictures."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from PIL.Image import Image

    Images: TypeAlias = list[Image]

MAX_BYTES = 64 * 2**30  # a request for more memory than this fails at once, as torch's allocator does


@dataclass(frozen=True, slots=True)
class Model:
    """MODEL, CLIP or VAE: which file it came from and what was put on top."""

    file: str
    loras: tuple[str, ...] = ()
    pixel_space: bool = False


@dataclass(frozen=True, slots=True)
class Conditioning:
    """CONDITIONING: the text, which is drawn into the picture; None for the text-free constant."""

    text: str | None


@dataclass(frozen=True, slots=True)
class Sampling:
    """What a sampler did to a latent, for the drawing."""

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
    """LATENT: ``batch`` pictures of ``width`` x ``height`` pixels, from pixels, from sampling, or empty."""

    width: int
    height: int
    batch: int
    sampling: Sampling | None = None
    pixels: "tuple[Image, ...]" = ()
    mask: "tuple[Image, ...]" = ()


@dataclass(frozen=True, slots=True)
class Silence:
    """AUDIO: so many samples of nothing."""

    samples: int
    sample_rate: int
    channels: int


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """VIDEO or FILE_3D: the bytes of a file as they were found. ``suffix`` is that of its name."""

    content: bytes
    suffix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedLatent(Latent):
    """A latent from a file."""

    file: LoadedFile


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSilence(Silence):
    """A sound from a file, which plays as silence."""

    file: LoadedFile


def check_extent(values: int) -> None:
    """Refuse absurd sizes the way torch does.

    Args:
        values: how many 4-byte floats the real node would hold.

    Raises:
        RuntimeError: more than 64 GiB.
    """
    size = values * 4
    if size > MAX_BYTES:
        message = f"DefaultCPUAllocator: can't allocate memory: you tried to allocate {size} bytes."
        raise RuntimeError(message)
