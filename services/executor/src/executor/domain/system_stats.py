"""Parses ComfyUI's report about itself, ``GET /system_stats``."""

import re
from typing import Any, NamedTuple

from contracts.scheduler.heartbeats import MAX_GPUS, Gpu
from contracts.wire.text import MAX_NAME

MAX_BYTES = 2**53
MAX_DEVICES = 64  # that are parsed, malformed ones included

_DEVICE = re.compile(r"(?:[a-z]+:[0-9]+ )?(.+?)(?: : \w+)?", re.DOTALL)  # "cuda:0 NVIDIA H200 : cudaMallocAsync"


class NodeHardware(NamedTuple):
    """What a node reports about itself. ``comfyui_version`` is None, and ``gpus`` is empty, if it does not."""

    comfyui_version: str | None = None
    gpus: tuple[Gpu, ...] = ()


def parse_system_stats(stats: Any) -> NodeHardware:
    """Parse the report; malformed parts are left out."""
    if not isinstance(stats, dict):
        return NodeHardware()
    system, devices = stats.get("system"), stats.get("devices")
    found = system.get("comfyui_version") if isinstance(system, dict) else None
    gpus = [_parse_gpu(device) for device in devices[:MAX_DEVICES]] if isinstance(devices, list) else []
    return NodeHardware(
        comfyui_version=found if isinstance(found, str) and found else None,
        gpus=tuple(gpu for gpu in gpus if gpu is not None)[:MAX_GPUS],
    )


def _parse_gpu(device: Any) -> Gpu | None:
    if not isinstance(device, dict):
        return None
    name, total, free = device.get("name"), device.get("vram_total"), device.get("vram_free")
    if not (isinstance(name, str) and _is_size(total) and _is_size(free)):
        return None
    shown = _DEVICE.fullmatch(name[:MAX_NAME])
    return Gpu(name=shown[1] if shown else "", memory_total_bytes=total, memory_free_bytes=free)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_BYTES
