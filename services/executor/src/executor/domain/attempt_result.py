"""Classifies how an attempt ended, with an error text fit for its owner."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from contracts.scheduler.attempts import OUT_OF_MEMORY, Outcome
from contracts.scheduler.jobs import JobError
from contracts.wire.errors import FieldError
from contracts.wire.text import clean_text
from contracts.workflow import Graph
from executor.domain.named_files import RunPeriod
from executor.domain.node_text import clean_name, truncate_text

MAX_MESSAGE = 500  # characters; nodes may send megabytes
MAX_ERRORS = 20  # reported validation errors; a node may return thousands
MAX_TIMESTAMP = 1e15  # milliseconds; larger values are invalid

NODE_SPECIFIC_ERRORS = frozenset({"value_not_in_list"})  # e.g. a model file, which another node may have
UNKNOWN_CLASS_ERRORS = frozenset({"missing_node_type", "invalid_prompt"})  # 0.33 and 0.3.64

_MEMORY = re.compile(r"OutOfMemoryError$|^MemoryError$")
# ComfyUI appends the first text to every exception that it classifies as out of memory; the others are of older
# versions and other devices.
_MEMORY_TEXT = re.compile(
    r"you ran out of memory on your GPU|would exceed allowed memory|not enough GPU video memory available"
    r"|(?:CUDA|HIP|XPU|NPU|MPS)(?: backend)?(?: error:)? out of memory",
    re.IGNORECASE,
)
# Texts count only with these types, and those of a device only at the beginning. Errors of other types, such as
# ValueError, repeat values of the workflow, and a tenant could make any node appear to be broken.
_MEMORY_TYPE = re.compile(r"(?:RuntimeError|Exception|torch\..*)$")
_DEVICE_TYPE = re.compile(r"CUDA|cuDNN|CUBLAS|NCCL|AcceleratorError")
_DEVICE_TEXT_TYPE = re.compile(r"(?:RuntimeError|torch\..*)$")
_DEVICE_TEXT = re.compile(r"(?:No )?(?:CUDA|cuDNN|CUDNN|CUBLAS|HIP|NCCL)(?![A-Za-z])")
_FULL_DISK_TYPE = re.compile(r"(?:.*\.)?(?:OSError|SafetensorError)$")
_FULL_DISK_TEXT = re.compile(r"\[Errno 28\]|.*\(os error 28\)$", re.DOTALL)
_QUOTED_PATH = re.compile(r"""(['"])(?:[A-Za-z]:)?[\\/](?:[^'"\n]*[\\/])?([^'"\\/\n]*)\1""")
_PATH = re.compile(
    r"(?<![\w.:/\\])(?:[A-Za-z]:[\\/]|/|\\\\)(?:[^\s'\"<>|,;:()\[\]/\\]+[\\/])+([^\s'\"<>|,;:()\[\]/\\]*)"
)
_EXCEPTION = re.compile(r"[^\W\d]\w{0,99}")
_MS_PER_S = 1000  # ComfyUI's timestamps are milliseconds


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """How an attempt ended on its node.

    Attributes:
        error: None if it succeeded or was cancelled.
        node_died: whether the node stopped responding or running prompts during the attempt.
        node_failed: whether the node is at fault in a way that counts towards cordoning it.
        may_have_run: whether the node may have run part of the prompt.
    """

    outcome: Outcome
    error: JobError | None = None
    node_died: bool = False
    may_have_run: bool = True
    node_failed: bool = False


SUCCEEDED = AttemptResult(Outcome.SUCCEEDED)
CANCELLED = AttemptResult(Outcome.CANCELLED)
RELEASED = AttemptResult(Outcome.RELEASED)


def build_node_fault(
    code: str, message: str, node_id: str | None = None, node_class: str | None = None
) -> AttemptResult:
    """Return a failure that is not the workflow's: the job may succeed on another node."""
    return AttemptResult(
        Outcome.NODE_FAULT, JobError(code=code, message=message, node_id=node_id, node_class=node_class)
    )


def build_broken_node_fault(
    code: str, message: str, node_id: str | None = None, node_class: str | None = None
) -> AttemptResult:
    """Return a fault of a node that may be broken: it counts towards cordoning the node."""
    return replace(build_node_fault(code, message, node_id, node_class), node_failed=True)


def build_node_death(code: str, message: str) -> AttemptResult:
    """Return a failure because the node died, perhaps because of this prompt."""
    return AttemptResult(Outcome.NODE_FAULT, JobError(code=code, message=message), node_died=True)


def build_workflow_failure(
    code: str, message: str, node_id: str | None = None, node_class: str | None = None
) -> AttemptResult:
    """Return a failure caused by the workflow: it would fail on every node."""
    return AttemptResult(Outcome.FAILED, JobError(code=code, message=message, node_id=node_id, node_class=node_class))


NODE_LOST = build_node_death("node.lost", "The node restarted or became unreachable while it ran the job.")
NODE_UNREACHABLE = build_node_fault("node.lost", "The node became unreachable before it accepted the job.")
NODE_BUSY = AttemptResult(
    Outcome.NODE_FAULT,
    JobError(code="node.fault", message="The node was busy with prompts of other clients, so the job did not start."),
    may_have_run=False,
)
RUN_TIME_EXCEEDED = build_workflow_failure(
    "job.run_time_exceeded",
    "The job ran longer than its time limit: run_within_seconds, or the limit of the tier. Allow more, or make it "
    "smaller.",
)
HISTORY_TOO_LARGE = build_workflow_failure(
    "workflow.answer_too_large",
    "The node's record of this job is too large. Save files in the workflow instead of returning texts.",
)
HISTORY_UNREADABLE = build_workflow_failure(
    "workflow.answer_unreadable",
    "The node's record of this job cannot be read: a node of the workflow returned something that is not plain JSON.",
)


def classify_history(entry: Mapping[str, Any]) -> AttemptResult:
    """Classify a finished prompt by its history entry.

    An ``execution_error`` message overrides ``status_str``, which is "success" for some failures.
    """
    messages = dict(_iterate_status_messages(entry))
    if "execution_error" in messages:
        return _classify_error(messages["execution_error"])
    if "execution_interrupted" in messages:
        return build_node_fault("node.fault", "The job was interrupted on the node, not by a cancellation.")
    status = entry.get("status")
    if isinstance(status, Mapping) and status.get("status_str") == "success":
        return SUCCEEDED
    return build_broken_node_fault(
        "node.fault", "The job ended on the node without success and without an error message."
    )


def classify_rejection(error: Mapping[str, Any], node_errors: Mapping[str, Any]) -> AttemptResult:
    """Classify an attempt whose graph the node refused."""
    if truncate_text(error.get("type")) in UNKNOWN_CLASS_ERRORS:
        extra = error.get("extra_info")
        node_class = extra.get("class_type") if isinstance(extra, Mapping) else None
        return build_node_fault(
            "workflow.rejected", sanitize_message(error.get("message")), None, clean_name(node_class)
        )
    problems = list(islice(_iterate_validation_errors(node_errors), MAX_ERRORS))
    if not problems:
        return build_workflow_failure(
            "workflow.rejected", sanitize_message(error.get("message")) or "The node rejected the workflow."
        )
    node_id, node_class, _, _ = problems[0]
    message = sanitize_message("; ".join(f"{name} ({node}): {text}" for node, name, _, text in problems))
    is_node_specific = all(kind in NODE_SPECIFIC_ERRORS for _, _, kind, _ in problems)
    build_result = build_node_fault if is_node_specific else build_workflow_failure
    return build_result("workflow.rejected", message, node_id, node_class)


def classify_violations(violations: Sequence[FieldError], graph: Graph) -> AttemptResult:
    """Classify an attempt whose graph violates the tenant's policy or names models that this node lacks."""
    first = violations[0]
    node = graph.get(first.node_id or "")
    if all(violation.code in NODE_SPECIFIC_ERRORS for violation in violations):
        return build_node_fault(
            "workflow.rejected", sanitize_message(first.message), first.node_id, node.class_type if node else None
        )
    code = "workflow.class_not_allowed" if first.code == "node_class_not_allowed" else "workflow.value_not_allowed"
    return build_workflow_failure(
        code, sanitize_message(first.message), first.node_id, node.class_type if node else None
    )


def compute_gpu_seconds(entry: Mapping[str, Any], wall_s: float) -> float:
    """Return how long the node ran a prompt, seconds: by the node's clock, at most ``wall_s``, which we measured."""
    stamps = (_parse_timestamp(data.get("timestamp")) for _, data in _iterate_status_messages(entry))
    known = [stamp for stamp in stamps if stamp is not None]
    spent = (known[-1] - known[0]) / _MS_PER_S if len(known) > 1 else wall_s
    return round(min(max(spent, 0.0), wall_s), 3)


def find_run_period(entry: Mapping[str, Any]) -> RunPeriod | None:
    """Return when a successful prompt ran; None if the history entry does not say."""
    stamps = {name: _parse_timestamp(data.get("timestamp")) for name, data in _iterate_status_messages(entry)}
    start_ms, end_ms = stamps.get("execution_start"), stamps.get("execution_success")
    return None if start_ms is None or end_ms is None else RunPeriod(start_ms, end_ms)


def list_cached_nodes(entry: Mapping[str, Any]) -> frozenset[str]:
    """Return the nodes whose results of an earlier prompt were in ComfyUI's cache when the prompt began."""
    listed = dict(_iterate_status_messages(entry)).get("execution_cached", {}).get("nodes")
    return frozenset(node for node in listed if isinstance(node, str)) if isinstance(listed, list) else frozenset()


def sanitize_message(message: Any) -> str:
    """Return one line of at most ``MAX_MESSAGE`` characters without traceback and absolute paths."""
    text = truncate_text(message).partition("Traceback (most recent call last)")[0]
    line = clean_text(" ".join(_PATH.sub(r"\1", _QUOTED_PATH.sub(r"\1\2\1", text)).split()), 2 * MAX_MESSAGE)
    return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 1] + "…"


def _classify_error(data: Mapping[str, Any]) -> AttemptResult:
    kind, message = truncate_text(data.get("exception_type")), truncate_text(data.get("exception_message"))
    where = clean_name(data.get("node_id")), clean_name(data.get("node_type"))
    if _is_out_of_memory(kind, message):
        return build_node_fault(
            OUT_OF_MEMORY, "The node ran out of memory. Make the images or batches smaller.", *where
        )
    if _is_device_failure(kind, message):
        return build_broken_node_fault("node.fault", "The node's GPU or disk failed.", *where)
    if kind.endswith("InterruptProcessingException"):
        return build_node_fault("node.fault", "The job was interrupted on the node, not by a cancellation.", *where)
    return build_workflow_failure("workflow.execution_failed", _format_exception(kind, message), *where)


def _is_out_of_memory(kind: str, message: str) -> bool:
    if _MEMORY.search(kind):
        return True
    is_in_text = _MEMORY_TEXT.search(message) or (_DEVICE_TEXT.match(message) and "out of memory" in message.lower())
    return bool(_MEMORY_TYPE.match(kind) and is_in_text)


def _is_device_failure(kind: str, message: str) -> bool:
    if _DEVICE_TYPE.search(kind):
        return True
    if _FULL_DISK_TYPE.match(kind) and _FULL_DISK_TEXT.match(message):
        return True
    return bool(_DEVICE_TEXT_TYPE.match(kind) and _DEVICE_TEXT.match(message))


def _format_exception(kind: str, message: str) -> str:
    """Format an exception like the last line of a Python traceback: the text of a KeyError alone is only the key."""
    name, text = kind.rpartition(".")[2], sanitize_message(message)
    if not _EXCEPTION.fullmatch(name):
        return text or "A node of the workflow failed without an error message."
    return sanitize_message(f"{name}: {text}") if text else f"{name}, without a message."


def _iterate_status_messages(entry: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    status = entry.get("status")
    listed = status.get("messages") if isinstance(status, Mapping) else None
    for item in listed if isinstance(listed, list) else ():
        match item:
            case [str(name), dict(data)]:
                yield name, data


def _iterate_validation_errors(node_errors: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Yield each validation error: node id, class, kind, text."""
    for node_id, node_report in node_errors.items():
        if not isinstance(node_report, Mapping) or not isinstance(node_report.get("errors"), list):
            continue
        for error in node_report["errors"]:
            if isinstance(error, Mapping):
                text = ": ".join(
                    filter(None, (truncate_text(error.get("message")), truncate_text(error.get("details"))))
                )
                node_class = clean_name(node_report.get("class_type")) or "unknown"
                yield clean_name(node_id) or "", node_class, truncate_text(error.get("type")), text


def _parse_timestamp(stamp: Any) -> float | None:
    if isinstance(stamp, bool) or not isinstance(stamp, int | float) or not abs(stamp) < MAX_TIMESTAMP:
        return None
    return float(stamp)
