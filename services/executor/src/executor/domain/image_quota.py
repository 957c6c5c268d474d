"""Counts outputs as images and limits how many may be stored."""

from collections.abc import Iterable, Mapping
from typing import Any

from contracts.graph_size.analysis import GraphSize, measure_graph
from contracts.graph_size.image_quota import compute_file_cost, stores_video
from contracts.scheduler.jobs import JobWarning
from contracts.scheduler.outputs import OutputKind
from contracts.workflow import has_valid_links, read_graph
from executor.domain.collect_outputs import FoundOutput

LATENT_SUFFIX = ".latent"
QUOTA_CODE = "quota.images_exceeded"


class ImageCounter:
    """Counts outputs as images, by the same rule as the reservation (``contracts.graph_size.image_quota``)."""

    def __init__(self, graph: Mapping[str, Any], frames_per_image: int) -> None:
        parsed, errors = read_graph(graph)
        self._size: GraphSize = measure_graph({} if errors or not has_valid_links(parsed) else parsed)
        self._frames_per_image = frames_per_image

    def count_images(self, item: FoundOutput) -> int:
        """Return the number of images that one output counts as."""
        match item.kind:
            case OutputKind.IMAGE if not stores_video(self._size.graph, item.node_id):
                return 1
            case OutputKind.IMAGE | OutputKind.VIDEO:
                return compute_file_cost(self._size, item.node_id, self._frames_per_image, latent=False)
            case OutputKind.FILE if item.filename.endswith(LATENT_SUFFIX):
                return compute_file_cost(self._size, item.node_id, self._frames_per_image, latent=True)
        return 0


class ImageQuota:
    """Decides which outputs may be stored. Saved and previewed images are counted separately; the larger sum counts.

    Attributes:
        reserved_images: number of images reserved for the job.
    """

    def __init__(self, counter: ImageCounter, reserved_images: int) -> None:
        self.reserved_images = reserved_images
        self._counter = counter
        self._admitted: set[FoundOutput] = set()
        self._sums = {False: 0, True: 0}  # images by whether they are temporary, that is, previews

    @property
    def used_images(self) -> int:
        """The number of images of the admitted outputs."""
        return max(self._sums.values())

    def try_admit_output(self, item: FoundOutput) -> bool:
        """Admit an output if it fits, and count it."""
        if item not in self._admitted:
            cost = self._counter.count_images(item)
            if cost and self._sums[item.temporary] + cost > self.reserved_images:
                return False
            self._sums[item.temporary] += cost
            self._admitted.add(item)
        return True

    def recount_images(self, found: Iterable[FoundOutput]) -> int:
        """Return the number of images of exactly these outputs, replacing earlier counts."""
        outputs = set(found)
        self._admitted &= outputs
        self._sums = self._sum_images(self._admitted)
        return max(self._sum_images(outputs).values())

    def _sum_images(self, items: Iterable[FoundOutput]) -> dict[bool, int]:
        sums = {False: 0, True: 0}
        for item in items:
            sums[item.temporary] += self._counter.count_images(item)
        return sums


def build_quota_warning(left_out: int, outputs: int) -> JobWarning:
    """Return the warning for outputs that exceeded the daily quota."""
    return JobWarning(
        code=QUOTA_CODE,
        message=f"{left_out} of {outputs} outputs were not stored: today's image quota is used up. "
        "The day ends at 00:00 UTC.",
    )
