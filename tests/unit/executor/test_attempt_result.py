from typing import Any

import pytest

from contracts.scheduler.attempts import Outcome
from executor.domain.attempt_result import (
    MAX_MESSAGE,
    SUCCEEDED,
    classify_history,
    classify_rejection,
    compute_gpu_seconds,
    sanitize_message,
)


def entry(status: str, *messages: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {"status": {"status_str": status, "completed": status == "success", "messages": [list(m) for m in messages]}}


def error(kind: str, message: str) -> tuple[str, dict[str, Any]]:
    return (
        "execution_error",
        {
            "node_id": "4",
            "node_type": "KSampler",
            "exception_type": kind,
            "exception_message": message,
            "traceback": ['  File "/root/ComfyUI/execution.py", line 5'],
        },
    )


def test_successful_history_entry_is_a_success() -> None:
    assert classify_history(entry("success", ("execution_start", {}), ("execution_success", {}))) == SUCCEEDED


def test_error_message_in_the_history_overrides_a_success_status() -> None:
    result = classify_history(entry("success", error("graph.DependencyCycleError", "Dependency cycle detected")))
    assert result.outcome is Outcome.FAILED
    assert result.error is not None
    assert result.error.code == "workflow.execution_failed"
    assert (result.error.node_id, result.error.node_class) == ("4", "KSampler")


@pytest.mark.requirement("F-61")
@pytest.mark.parametrize(
    ("kind", "message", "code"),
    [
        ("torch.OutOfMemoryError", "Allocation on device", "node.out_of_memory"),
        ("torch.cuda.OutOfMemoryError", "Allocation on device", "node.out_of_memory"),
        ("torch.AcceleratorError", "CUDA error: out of memory", "node.out_of_memory"),
        (
            "torch.AcceleratorError",
            "error 2\nThis error means you ran out of memory on your GPU.",
            "node.out_of_memory",
        ),
        ("RuntimeError", "HIP out of memory. Tried to allocate 2.00 GiB", "node.out_of_memory"),
        ("RuntimeError", "MPS backend out of memory (MPS allocated: 9.00 GB)", "node.out_of_memory"),
        ("RuntimeError", "Allocation on device 0 would exceed allowed memory. (out of memory)", "node.out_of_memory"),
        ("torch.AcceleratorError", "device-side assert triggered", "node.fault"),
        ("RuntimeError", "CUDA error: an illegal memory access was encountered", "node.fault"),
        ("RuntimeError", "CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", "node.fault"),
        ("RuntimeError", "No CUDA GPUs are available", "node.fault"),
        ("OSError", "[Errno 28] No space left on device", "node.fault"),
        (
            "safetensors_rust.SafetensorError",
            "I/O error: No space left on device (os error 28)",
            "node.fault",
        ),
    ],
)
def test_errors_of_the_gpu_machine_count_as_node_faults(kind: str, message: str, code: str) -> None:
    result = classify_history(entry("error", error(kind, message)))
    assert result.outcome is Outcome.NODE_FAULT
    assert result.error is not None
    assert result.error.code == code
    assert result.node_failed is (code == "node.fault")  # memory use depends on the workflow


@pytest.mark.parametrize(
    ("kind", "message", "told"),
    [
        ("KeyError", "'b'", "KeyError: 'b'"),
        ("IndexError", "0", "IndexError: 0"),
        ("some_pack.errors.BadMask", "the mask is empty", "BadMask: the mask is empty"),
        ("AssertionError", "", "AssertionError, without a message."),
        ("not a name", "the mask is empty", "the mask is empty"),
        ("", "", "A node of the workflow failed without an error message."),
    ],
)
def test_exception_is_reported_with_its_type_and_node(kind: str, message: str, told: str) -> None:
    result = classify_history(entry("error", error(kind, message)))
    assert result.error is not None
    assert result.error.message == told
    assert (result.error.node_id, result.error.node_class) == ("4", "KSampler")


@pytest.mark.requirement("F-61")
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("ValueError", "could not convert string to float: 'CUDA error: an illegal memory access was encountered'"),
        ("ValueError", "CUDA error: an illegal memory access was encountered"),
        ("KeyError", "'CUDA error'"),
        ("Exception", "CUDA error: unspecified launch failure"),
        ("json.decoder.JSONDecodeError", "NCCL error: line 1 column 1"),
        ("RuntimeError", "Expected one of cpu, cuda, mps device type at start of device string: CUDA error"),
        ("FileNotFoundError", "[Errno 2] No such file or directory: 'No space left on device'"),
        ("OSError", "[Errno 36] File name too long: 'No space left on device (os error 28)'"),
        ("ValueError", "[Errno 28] No space left on device"),
        ("KeyError", "the model (os error 28)"),
        ("ValueError", "could not convert string to float: 'you ran out of memory on your GPU'"),
        ("KeyError", "'CUDA out of memory'"),
    ],
)
def test_error_text_chosen_by_the_workflow_does_not_blame_the_node(kind: str, message: str) -> None:
    result = classify_history(entry("error", error(kind, message)))
    assert (result.outcome, result.node_failed) == (Outcome.FAILED, False)


def test_allocation_beyond_any_host_is_a_workflow_fault() -> None:
    message = "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4398046511104 bytes."
    assert classify_history(entry("error", error("RuntimeError", message))).outcome is Outcome.FAILED


@pytest.mark.requirement("F-111")
def test_interruption_that_nobody_requested_is_a_node_fault() -> None:
    assert classify_history(entry("error", ("execution_interrupted", {"node_id": "4"}))).outcome is Outcome.NODE_FAULT


@pytest.mark.parametrize("strange", [{}, {"status": None}, {"status": {"messages": [1, ["x"], None]}}])
def test_failure_without_a_reason_is_a_node_fault(strange: dict[str, Any]) -> None:
    assert classify_history(strange).outcome is Outcome.NODE_FAULT


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        (
            "Could not detect model type of: /srv/models/x.safetensors\n",
            "Could not detect model type of: x.safetensors",
        ),
        ("[Errno 2] No such file: '/srv/my models/a b.png'", "[Errno 2] No such file: 'a b.png'"),
        ("C:\\ComfyUI\\models\\x.ckpt is bad", "x.ckpt is bad"),
        ("no\nTraceback (most recent call last):\n  File x", "no"),
        ("use and/or w/h 3/4, see https://a.example/b/c", "use and/or w/h 3/4, see https://a.example/b/c"),
        (None, ""),
    ],
)
def test_paths_and_tracebacks_are_removed_from_messages(raw: Any, clean: str) -> None:
    assert sanitize_message(raw) == clean


def test_messages_are_a_single_line_of_bounded_length() -> None:
    messages = sanitize_message("word \n" * 100_000)
    assert "\n" not in messages
    assert len(messages) <= MAX_MESSAGE


def node_report(kind: str, message: str, details: str) -> dict[str, Any]:
    return {
        "4": {
            "errors": [{"type": kind, "message": message, "details": details, "extra_info": {}}],
            "dependent_outputs": ["5"],
            "class_type": "KSampler",
        }
    }


FAILED_VALIDATION = {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation"}


def test_invalid_value_is_a_workflow_fault() -> None:
    result = classify_rejection(
        FAILED_VALIDATION, node_report("value_smaller_than_min", "Value -5 smaller than min", "steps")
    )
    assert result.outcome is Outcome.FAILED
    assert result.error is not None
    assert result.error.code == "workflow.rejected"
    assert result.error.message == "KSampler (4): Value -5 smaller than min: steps"


def test_missing_model_or_class_is_retried_on_another_node() -> None:
    lacking = node_report("value_not_in_list", "Value not in list", "ckpt_name: 'x' not in []")
    assert classify_rejection(FAILED_VALIDATION, lacking).outcome is Outcome.NODE_FAULT
    unknown = {"type": "missing_node_type", "message": "Node 'X' not found.", "extra_info": {"class_type": "X"}}
    result = classify_rejection(unknown, {})
    assert result.outcome is Outcome.NODE_FAULT
    assert result.error is not None
    assert result.error.node_class == "X"


def test_invalid_value_beside_a_missing_model_is_a_workflow_fault() -> None:
    both = node_report("value_not_in_list", "Value not in list", "x")
    both["4"]["errors"].append(
        {"type": "required_input_missing", "message": "Required input is missing", "details": "y"}
    )
    assert classify_rejection(FAILED_VALIDATION, both).outcome is Outcome.FAILED


@pytest.mark.requirement("F-58")
def test_gpu_seconds_come_from_the_nodes_clock_bounded_by_the_executors_clock() -> None:
    ran = entry("success", ("execution_start", {"timestamp": 1000}), ("execution_success", {"timestamp": 3500}))
    assert compute_gpu_seconds(ran, 10) == 2.5
    assert compute_gpu_seconds(ran, 1) == 1
    assert compute_gpu_seconds(entry("success"), 4) == 4
    back = entry("success", ("execution_start", {"timestamp": 3500}), ("execution_success", {"timestamp": 1000}))
    assert compute_gpu_seconds(back, 10) == 0
    odd = entry("success", ("execution_start", {"timestamp": float("nan")}), ("execution_success", {"timestamp": 1}))
    assert compute_gpu_seconds(odd, 3) == 3


def test_error_texts_are_sanitized_and_bounded() -> None:
    unfit = "a\x00b\ud800"
    told = {
        "node_id": unfit,
        "node_type": unfit * 1_000,
        "exception_type": [],
        "exception_message": unfit + "x" * 10**7,
    }
    result = classify_history(entry("error", ("execution_error", told)))
    assert result.error is not None
    assert result.error.message.startswith("a\ufffdb\ufffdx")
    assert len(result.error.message) == MAX_MESSAGE
    assert (result.error.node_id, len(result.error.node_class or "")) == ("a\ufffdb\ufffd", 256)


@pytest.mark.requirement("F-58")
@pytest.mark.parametrize(
    "stamps", [(10**400, 0), (float("nan"), 5), (float("inf"), float("-inf")), (-1, "x"), (True, None), ([], {})]
)
def test_invalid_timestamps_are_ignored(stamps: tuple[Any, Any]) -> None:
    told = entry("success", *[("a", {"timestamp": stamp}) for stamp in stamps])
    assert compute_gpu_seconds(told, 2.5) == 2.5


@pytest.mark.parametrize("kind", [[], {}, None, 5, "\ud800"])
def test_rejection_of_any_shape_is_classified(kind: Any) -> None:
    problems = {
        "1\x00": {"class_type": kind, "errors": [{"type": kind, "message": kind, "details": kind}, kind]},
        "2": kind,
    }
    result = classify_rejection({"type": kind, "message": kind, "extra_info": kind}, problems)
    assert result.error is not None
    result.error.model_dump_json().encode()


def test_rejection_with_thousands_of_errors_is_processed_up_to_a_bound() -> None:
    problems = {str(number): {"class_type": "C", "errors": [{"message": "m" * 1_000}]} for number in range(10_000)}
    result = classify_rejection({}, problems)
    assert result.error is not None
    assert len(result.error.message) <= MAX_MESSAGE
