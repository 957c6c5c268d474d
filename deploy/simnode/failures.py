"""Errors of executed nodes, shaped as ComfyUI reports them."""

import traceback

OOM_TYPE = "torch.OutOfMemoryError"
OOM_TIP = (
    "This error means you ran out of memory on your GPU.\n\nTIPS: If the workflow worked before you might have "
    "accidentally set the batch_size to a large number."
)
OOM_MESSAGE = "Allocation on device 0 would exceed allowed memory. (out of memory)"
CUDA_TYPE = "torch.AcceleratorError"
CUDA_MESSAGE = (
    "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be asynchronously reported at some "
    "other API call, so the stacktrace below might be incorrect."
)
EXIT_STATUS = 137  # what the kernel's out-of-memory killer leaves behind


class Failure(Exception):
    """A node failed with an exception of a type this program does not have.

    Attributes:
        type_name: reported as ``exception_type``.
    """

    def __init__(self, type_name: str, message: str) -> None:
        super().__init__(message)
        self.type_name = type_name


class WorkerDied(BaseException):
    """The worker was told to die; no node's error handling may catch it."""


def out_of_memory() -> Failure:
    """What a node raises when the device has no room."""
    return Failure(OOM_TYPE, OOM_MESSAGE)


def poisoned_device() -> Failure:
    """What every node raises once a kernel has broken the device context."""
    return Failure(CUDA_TYPE, CUDA_MESSAGE)


def exception_type(error: BaseException) -> str:
    """``module.QualName``; built-in types bare."""
    if isinstance(error, Failure):
        return error.type_name
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def exception_message(error: BaseException) -> str:
    """The text, a line feed, and a tip if the device ran out of memory."""
    tip = OOM_TIP if exception_type(error) == OOM_TYPE else ""
    return f"{error}\n{tip}"


def traceback_lines(error: BaseException) -> list[str]:
    """The stack as ComfyUI sends it, file paths included."""
    return traceback.format_tb(error.__traceback__)
