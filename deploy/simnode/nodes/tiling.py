"""Tiled decoding: the longest progress bar of a graph without model files."""

import asyncio
import math

from simnode.drawing import draw_latent
from simnode.node_class import Call, Field, NodeClass, NodeResult, link_input

TILES_PER_STEP = 20  # a tile takes a twentieth of a sampler step: about a second for 431 tiles at the default pace


def count_tiles(width: int, height: int, tile: int, overlap: int) -> int:
    """Return how many tiles ComfyUI decodes for an image: three passes with square, tall and wide tiles.

    All numbers are in latent pixels. 1024 x 1024 with tile 128 and overlap 32 gives 431.
    """
    shapes = ((tile, tile), (tile // 2, tile * 2), (tile * 2, tile // 2))
    return sum(
        _count_tiles_along_side(width, x, overlap) * _count_tiles_along_side(height, y, overlap) for x, y in shapes
    )


def _count_tiles_along_side(length: int, tile: int, overlap: int) -> int:
    return 1 if length <= tile else math.ceil((length - overlap) / max(1, tile - overlap))


async def _decode_in_tiles(call: Call) -> NodeResult:
    latent, scale = call["samples"], 1 if call["vae"].pixel_space else 8
    tile, overlap = call["tile_size"], call["overlap"]
    overlap = tile // 4 if tile < overlap * 4 else overlap
    total = count_tiles(latent.width // scale, latent.height // scale, tile // scale, overlap // scale) * latent.batch
    for done in range(1, total + 1):
        await asyncio.sleep(call.resources.settings.step_s / TILES_PER_STEP)
        await call.report_progress(done, total, None)
    return NodeResult((await asyncio.to_thread(draw_latent, latent, call.resources.settings.name),))


def _build_length_field(name: str, default: int, least: int, step: int) -> Field:
    return Field(name, "INT", {"default": default, "min": least, "max": 4096, "step": step, "advanced": True})


CLASSES = (
    NodeClass(
        name="VAEDecodeTiled",
        run=_decode_in_tiles,
        inputs=(
            link_input("samples", "LATENT"),
            link_input("vae", "VAE"),
            _build_length_field("tile_size", 512, 64, 32),
            _build_length_field("overlap", 64, 0, 32),
            _build_length_field("temporal_size", 64, 8, 4),
            _build_length_field("temporal_overlap", 8, 4, 4),
        ),
        outputs=("IMAGE",),
        category="model/latent",
        display_name="VAE Decode (Tiled)",
        has_delay=False,
    ),
)
