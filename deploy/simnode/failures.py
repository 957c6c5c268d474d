"""Errors of executed nodes, in ComfyUI's format."""

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
EXIT_STATUS = 137  # exit status after the kernel's out-of-memory killer


class Failure(Exception):
    """A node failed with an exception type that this program does not have.

    Attributes:
        type_name: reported as ``exception_type``.
    """

    def __init__(self, type_name: str, message: str) -> None:
        super().__init__(message)
        self.type_name = type_name


class WorkerDied(BaseException):
    """Ends the worker. The error handling of nodes must not catch it."""


def build_out_of_memory() -> Failure:
    """Return the error of a node whose device is out of memory."""
    return Failure(OOM_TYPE, OOM_MESSAGE)


def build_broken_device() -> Failure:
    """Return the error of every node after a kernel has broken the device context."""
    return Failure(CUDA_TYPE, CUDA_MESSAGE)


def get_exception_type(error: BaseException) -> str:
    """Return ``module.QualName``; for built-in types without the module."""
    if isinstance(error, Failure):
        return error.type_name
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def build_exception_message(error: BaseException) -> str:
    """Return the text, a line feed, and a tip if the device ran out of memory."""
    tip = OOM_TIP if get_exception_type(error) == OOM_TYPE else ""
    return f"{error}\n{tip}"


def format_traceback(error: BaseException) -> list[str]:
    """Return the stack as ComfyUI sends it, file paths included."""
    return traceback.format_tb(error.__traceback__)
