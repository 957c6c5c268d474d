"""Parses ComfyUI's report about itself, ``GET /system_stats``."""

import re
from typing import Any, NamedTuple

from contracts.scheduler.heartbeats import MAX_GPUS, Gpu
from contracts.wire.text import MAX_NAME

MAX_BYTES = 2**53
MAX_DEVICES = 64  # devices parsed, including malformed ones

_DEVICE = re.compile(r"(?:[a-z]+:[0-9]+ )?(.+?)(?: : \w+)?", re.DOTALL)  # "cuda:0 NVIDIA H200 : cudaMallocAsync"


class NodeHardware(NamedTuple):
    """Software and GPUs of a node. ``comfyui_version`` is None and ``gpus`` empty if the node does not report them."""

    comfyui_version: str | None = None
    gpus: tuple[Gpu, ...] = ()


def parse_system_stats(stats: Any) -> NodeHardware:
    """Parse the report; malformed parts are left out."""
    if not isinstance(stats, dict):
        return NodeHardware()
    system, devices = stats.get("system"), stats.get("devices")
    version = system.get("comfyui_version") if isinstance(system, dict) else None
    gpus = [_parse_gpu(device) for device in devices[:MAX_DEVICES]] if isinstance(devices, list) else []
    return NodeHardware(
        comfyui_version=version if isinstance(version, str) and version else None,
        gpus=tuple(gpu for gpu in gpus if gpu is not None)[:MAX_GPUS],
    )


def _parse_gpu(device: Any) -> Gpu | None:
    if not isinstance(device, dict):
        return None
    name, total, free = device.get("name"), device.get("vram_total"), device.get("vram_free")
    if not (isinstance(name, str) and _is_size(total) and _is_size(free)):
        return None
    match = _DEVICE.fullmatch(name[:MAX_NAME])
    return Gpu(name=match[1] if match else "", memory_total_bytes=total, memory_free_bytes=free)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_BYTES
