"""Refusals of results, which are declared by other features and contracts."""

from contracts.gateway.outputs import JobNotFinished, UnknownOutput
from contracts.scheduler.jobs import UnknownJob
from contracts.wire.errors import Refusal
from gateway.images.errors import ConversionFailed, NotConvertible, TooManyConversions, TooManyPixels

RESULT: tuple[type[Refusal], ...] = (
    UnknownJob, UnknownOutput, JobNotFinished, NotConvertible, TooManyPixels, ConversionFailed, TooManyConversions,
)  # fmt: skip
"""What a request for the bytes of an output is refused with."""
