"""Draws images instead of sampling: a seeded gradient with the prompt as text, so that people can recognize the job.

The same sampling parameters always give the same image. Text is only drawn if it is large enough to read.
"""

import io
import random
import textwrap
from functools import lru_cache
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from simnode.values import Latent, Sampling

if TYPE_CHECKING:
    from simnode.values import Images

MAX_SIDE = 2048  # px; larger images are drawn at this size and scaled up
PREVIEW_SIDE = 512  # px; ComfyUI scales previews down or up to its --preview-size
PREVIEW_QUALITY = 95
GRADIENT_CROP = (38, 38, 218, 218)  # px; a square that a rotated 256 px gradient always covers
MIN_TEXT_SIZE = 7  # px; smaller text is not readable


def draw_latent(latent: Latent, node_name: str) -> "Images":
    """Decode a latent: its pixels, or the drawing of its sampling; over the pixels if there are both.

    Returns:
        ``latent.batch`` RGB images of ``latent.width`` x ``latent.height``.
    """
    return [_decode_image(latent, index, node_name) for index in range(latent.batch)]


def draw_preview(latent: Latent) -> bytes:
    """Return a JPEG of a sampler's intermediate result.

    It is scaled to fit 512 x 512 and has about 50 kB, like ComfyUI's latent previews.
    """
    share = PREVIEW_SIDE / max(latent.width, latent.height)
    size = (max(1, round(latent.width * share)), max(1, round(latent.height * share)))
    sampling = latent.sampling or _build_empty_sampling()
    image = _draw_background(sampling.seed, size)
    left = 1.0 - sampling.done / max(1, sampling.steps)
    grain = Image.effect_noise(size, 24 + 16 * left).convert("RGB")
    buffer = io.BytesIO()
    Image.blend(image, grain, 0.06 + 0.04 * left).save(buffer, "JPEG", quality=PREVIEW_QUALITY)
    return buffer.getvalue()


def _decode_image(latent: Latent, index: int, node_name: str) -> Image.Image:
    pixels = latent.pixels[index % len(latent.pixels)].convert("RGB") if latent.pixels else None
    if pixels is not None and latent.sampling is None:
        return pixels
    sampling = latent.sampling or _build_empty_sampling()
    size = (latent.width, latent.height)
    share = min(1.0, MAX_SIDE / max(size))
    canvas = _draw_background(sampling.seed + index, (max(1, round(size[0] * share)), max(1, round(size[1] * share))))
    if pixels is not None:
        canvas = _draw_over(pixels.resize(canvas.size), canvas, latent, sampling)
    _write_lines(canvas, _build_text_lines(sampling, node_name, index, size))
    return canvas if canvas.size == size else canvas.resize(size)


def _draw_over(pixels: Image.Image, canvas: Image.Image, latent: Latent, sampling: Sampling) -> Image.Image:
    mixed = Image.blend(pixels, canvas, 0.25 + 0.75 * sampling.denoise**2)
    if not latent.mask:
        return mixed
    return Image.composite(mixed, pixels, latent.mask[0].convert("L").resize(canvas.size))


def _draw_background(seed: int, size: tuple[int, int]) -> Image.Image:
    rng = random.Random(seed)  # noqa: S311 - an image, not a secret
    slope = Image.linear_gradient("L").rotate(rng.uniform(0, 360), Image.Resampling.BILINEAR)
    slope = slope.crop(GRADIENT_CROP).resize(size, Image.Resampling.BICUBIC)
    hue = rng.randrange(360)
    dark, light = f"hsl({hue},60%,22%)", f"hsl({(hue + rng.randrange(40, 160)) % 360},65%,68%)"
    canvas = ImageOps.colorize(slope, black=dark, white=light)
    overlay = Image.new("RGB", size, light)
    mask = Image.new("L", size, 0)
    pen = ImageDraw.Draw(mask)
    for _ in range(5):
        x, y = rng.uniform(0, size[0]), rng.uniform(0, size[1])
        r = rng.uniform(0.06, 0.28) * max(size)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=rng.randrange(30, 110))
    return Image.composite(overlay, canvas, mask.filter(ImageFilter.GaussianBlur(max(size) / 120)))


def _build_text_lines(sampling: Sampling, node_name: str, index: int, size: tuple[int, int]) -> list[str]:
    return [
        sampling.positive if sampling.positive is not None else "(no prompt text)",
        *([f"not: {sampling.negative}"] if sampling.negative else []),
        f"seed {sampling.seed}  steps {sampling.done}/{sampling.steps}  cfg {sampling.cfg:g}",
        f"{sampling.sampler} / {sampling.scheduler}  denoise {sampling.denoise:g}",
        sampling.checkpoint,
        f"{node_name}  {size[0]}x{size[1]}  #{index}",
    ]


def _write_lines(canvas: Image.Image, lines: list[str]) -> None:
    text_size = min(canvas.width // 24, canvas.height // 14)
    if text_size < MIN_TEXT_SIZE:
        return
    pen, margin = ImageDraw.Draw(canvas, "RGBA"), text_size
    columns = int((canvas.width - 2 * margin) / (text_size * 0.62))
    wrapped = [row for line in lines for row in _wrap_line(line, columns)]
    block = "\n".join(wrapped)
    font = _load_font(text_size)
    box = pen.multiline_textbbox((margin, margin), block, font=font, spacing=text_size // 3)
    pad = text_size // 2
    pen.rectangle((box[0] - pad, box[1] - pad, box[2] + pad, box[3] + pad), fill=(0, 0, 0, 120))
    pen.multiline_text((margin, margin), block, font=font, fill=(255, 255, 255, 255), spacing=text_size // 3)


def _wrap_line(line: str, columns: int) -> list[str]:
    printable = "".join(letter if letter.isprintable() else " " for letter in line)
    return textwrap.wrap(printable, columns, max_lines=6, placeholder=" …") or [""]


@lru_cache(maxsize=16)
def _load_font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _build_empty_sampling() -> Sampling:
    return Sampling(0, 0, 0, 0.0, "none", "none", 1.0, "no sampling", None, None)
