"""Decides where a job goes after a node ran out of memory. Pure: no I/O, no clock.

Sizes are rounded to GiB, because equal cards report slightly different sizes, depending on their drivers.
"""

from typing import NamedTuple

from contracts.scheduler.attempts import OUT_OF_MEMORY, FinishAttempt, Outcome
from contracts.scheduler.jobs import JobError

GIB = 2**30
UNKNOWN_GIB = 0  # of a node that does not report its memory


class GpuOutOfMemory(NamedTuple):
    """A node ran out of GPU memory while it ran a job.

    Attributes:
        node_gib: memory of the node's GPU; ``UNKNOWN_GIB`` if unknown.
        earlier_faults: number of earlier attempts of the job whose node ran out of memory, too.
        has_larger_node: whether a usable node with more GPU memory can run the job.
    """

    node_gib: int
    earlier_faults: int
    has_larger_node: bool

    @property
    def is_final(self) -> bool:
        """Whether another attempt would run out of memory, too: an earlier one did, and no larger node is usable."""
        return self.earlier_faults > 0 and not self.has_larger_node


def to_gib(size_bytes: int | None) -> int:
    return UNKNOWN_GIB if size_bytes is None else round(size_bytes / GIB)


def is_out_of_memory(ending: FinishAttempt) -> bool:
    """Whether the attempt ended because its node ran out of memory."""
    return ending.outcome is Outcome.NODE_FAULT and ending.error is not None and ending.error.code == OUT_OF_MEMORY


def explain_exhausted_memory(error: JobError, fault: GpuOutOfMemory) -> JobError:
    """Return the error of a job that failed because it ran out of GPU memory.

    Its message says what happened and what the job's owner can change.
    """
    size = f" with {fault.node_gib} GiB" if fault.node_gib else ""
    message = (
        f"The job ran out of memory {fault.earlier_faults + 1} times, the last time on a GPU{size}. Make its images, "
        "batches or numbers of frames smaller, or use smaller models."
    )
    return error.model_copy(update={"message": message})
