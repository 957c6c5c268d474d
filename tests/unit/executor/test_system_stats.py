"""The executor's report on the software and GPUs of its node."""

from typing import Any

import pytest

from contracts.scheduler.heartbeats import MAX_GPUS, Gpu, NodeSystem
from contracts.wire.text import MAX_NAME
from executor.domain.system_stats import MAX_DEVICES, NodeHardware, parse_system_stats

DEVICE = {"name": "cuda:0 NVIDIA H200 : cudaMallocAsync", "vram_total": 100, "vram_free": 60}


def test_comfyui_version_and_gpu_memory_are_read() -> None:
    stats = {"system": {"comfyui_version": "0.33.0"}, "devices": [DEVICE, {**DEVICE, "name": "cpu"}]}
    gpus = tuple(Gpu(name=name, memory_total_bytes=100, memory_free_bytes=60) for name in ("NVIDIA H200", "cpu"))
    assert parse_system_stats(stats) == NodeHardware("0.33.0", gpus)


@pytest.mark.parametrize(
    "stats",
    [
        None,
        [],
        {"system": None, "devices": None},
        {"system": {"comfyui_version": 1}, "devices": [None, {"name": "cpu"}, {**DEVICE, "vram_free": -1}]},
        {"devices": [*[None] * MAX_DEVICES, DEVICE]},
        {"devices": [{**DEVICE, "vram_total": float("nan")}, {**DEVICE, "name": 5}, {**DEVICE, "vram_free": 2**60}]},
    ],
)
def test_malformed_parts_of_system_stats_are_ignored(stats: Any) -> None:
    assert parse_system_stats(stats) == NodeHardware()


def test_texts_are_sanitized_and_bounded() -> None:
    unfit = "a\x00b\ud800" + "x" * 10**6
    found = parse_system_stats({
        "system": {"comfyui_version": unfit},
        "devices": [{**DEVICE, "name": unfit}] * 10**5,
    })  # fmt: skip
    assert len(found.gpus) == MAX_GPUS
    reported = NodeSystem(executor_version="1", comfyui_version=found.comfyui_version, gpus=found.gpus)
    for text in (reported.comfyui_version or "", *(gpu.name for gpu in reported.gpus)):
        assert text.startswith("a\ufffdb\ufffdx")
        assert len(text) == MAX_NAME
