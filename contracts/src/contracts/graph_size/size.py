"""Upper bounds of one node output.

Every field of a ``Size`` is monotonic, so the bounds of "one of these" are the maximum of each field.
"""

from collections.abc import Iterable
from math import ceil, floor, inf
from typing import NamedTuple

MAX_BOUND = 2**53  # every bound stops growing here: every limit refuses such values

NO_MEDIUM, SOUND, MOVING, STILL = range(4)


class Size(NamedTuple):
    """Upper bounds of one output.

    Attributes:
        width, height: size of one image or frame, pixels; for a latent, size of the images that it decodes to.
        pixels: pixels of one image or frame; at most ``width * height``.
        ratio: ratio of the longer to the shorter side.
        batch: images or frames in one batch.
        items: elements of an output list: every later node runs once per element.
        total: images or frames in all elements of the list.
        high, minus_low: bounds of a number, which is from ``-minus_low`` to ``high``; both infinite if unknown.
        text: UTF-8 bytes of one text.
        steps: steps of one list of sigmas.
        medium: ``STILL`` if it may be stills, else ``MOVING`` for frames of one video, ``SOUND``, or ``NO_MEDIUM``.
    """

    width: int = 0
    height: int = 0
    pixels: int = 0
    ratio: float = 1.0
    batch: int = 0
    items: int = 1
    total: int = 0
    high: float = inf
    minus_low: float = inf
    text: int = 0
    steps: int = 0
    medium: int = NO_MEDIUM

    @property
    def is_media(self) -> bool:
        """Whether the output contains images, frames or a latent."""
        return self.batch > 0

    def resized(
        self, width: float, height: float, *, pixels: float | None = None, ratio: float | None = None
    ) -> "Size":
        """Return the bounds of the same images in another size.

        Args:
            pixels: pixels of one image; ``width * height`` if None.
            ratio: ratio of the longer to the shorter side; that of ``width`` and ``height`` if None.
        """
        width, height = clamp_bound(width), clamp_bound(height)
        area = clamp_bound(width * height if pixels is None else min(pixels, width * height))
        return self._replace(width=width, height=height, pixels=area, ratio=_compute_aspect_ratio(width, height, ratio))

    def scaled(self, factor: float) -> "Size":
        """Return the bounds of the same images with both sides multiplied by ``factor``."""
        return self.resized(
            self.width * factor,
            self.height * factor,
            pixels=self.pixels * factor * factor + (self.width + self.height) * factor + 1,  # because sides are rounded
            ratio=self.ratio if factor == 1 else self.max_rounded_ratio(),
        )

    def max_rounded_ratio(self, least_side: float = 1) -> float:
        """Return the ratio that the same images may have after both sides were scaled and rounded.

        Args:
            least_side: lower bound of the shorter side before it is rounded, pixels.
        """
        return self.ratio + (self.ratio + 1) / max(floor(least_side), 1)

    def multiply_count(self, factor: float) -> "Size":
        """Return the bounds of the same images, their number multiplied by ``factor``."""
        return self._replace(batch=clamp_bound(self.batch * factor), total=clamp_bound(self.total * factor))

    def limit_count(self, count: int) -> "Size":
        """Return the bounds of the same images, with at most ``count`` in each batch."""
        return self._replace(batch=min(self.batch, count), total=min(self.total, clamp_bound(count * self.items)))

    def with_medium(self, medium: int) -> "Size":
        return self._replace(medium=medium)


EMPTY = Size()


def clamp_bound(value: float) -> int:
    """Return the bound as an integer from 0 to ``MAX_BOUND``."""
    return MAX_BOUND if value >= MAX_BOUND or value != value else ceil(max(value, 0))  # noqa: PLR0124 - NaN


def number_size(high: float, low: float | None = None, *, items: int = 1) -> Size:
    """Return the bounds of a number up to ``high``."""
    return EMPTY._replace(high=high, minus_low=-(high if low is None else low), items=items)


def text_size(size: float, *, items: int = 1) -> Size:
    """Return the bounds of a text of up to ``size`` bytes."""
    return EMPTY._replace(text=clamp_bound(size), items=items)


def images_size(
    width: float, height: float, batch: float = 1, *, items: int = 1, medium: int = STILL, ratio: float | None = None
) -> Size:
    """Return the bounds of a list whose elements are batches of images of the same size."""
    in_each = clamp_bound(max(batch, 1))
    whole = EMPTY._replace(batch=in_each, items=items, total=clamp_bound(in_each * items), medium=medium)
    return whole.resized(max(width, 1), max(height, 1), ratio=ratio)


def combine_maximums(sizes: Iterable[Size]) -> Size:
    """Return a size that bounds every one of these: the maximum of each dimension."""
    each = list(sizes)
    if len(each) < 2:
        return each[0] if each else EMPTY
    return Size(*map(max, *each))


def count_images_in_runs(size: Size, runs: int, lists: int) -> int:
    """Return the maximum number of images that an input supplies while its node runs ``runs`` times.

    A list that is shorter than others repeats its last element. ``items`` only bounds its length: if two or more inputs
    are lists (``lists``), a list may be shorter than that and repeat more often.
    """
    if lists < 2:
        return size.total + size.batch * (runs - size.items)
    return min(size.batch * runs, size.total + size.batch * (runs - 1))


def bound_over_all_runs(size: Size, runs: int, lists: int) -> Size:
    """Return the bounds of an input over all runs of its node; see ``count_images_in_runs``."""
    return size._replace(items=runs, total=clamp_bound(count_images_in_runs(size, runs, lists))) if runs > 1 else size


def _compute_aspect_ratio(width: int, height: int, known: float | None) -> float:
    if known is not None:
        return min(known, max(width, height, 1))
    short, long = sorted((max(width, 1), max(height, 1)))
    return long / short
