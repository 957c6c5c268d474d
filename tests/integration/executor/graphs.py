"""Workflows for tests. Their colours differ so that a node never answers from its cache."""

import secrets
from typing import Any


def picture(batch: int = 1) -> dict[str, Any]:
    inputs = {"width": 32, "height": 16, "batch_size": batch, "color": secrets.randbelow(1 << 24)}
    return {"class_type": "EmptyImage", "inputs": inputs}


def hello(batch: int = 2) -> dict[str, Any]:
    return {
        "1": picture(batch),
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "hello/img"}},
        "4": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
        "5": {"class_type": "PreviewAny", "inputs": {"source": "a text"}},
    }


def slow(seconds: float) -> dict[str, Any]:
    return {
        "1": picture(),
        "2": {"class_type": "SimSleep", "inputs": {"image": ["1", 0], "seconds": seconds}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "slow"}},
    }


def failing(kind: str, message: str) -> dict[str, Any]:
    return {
        "1": picture(),
        "2": {
            "class_type": "SimFail",
            "inputs": {"image": ["1", 0], "exception_type": kind, "message": message},
        },
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "never"}},
    }


def killing(class_type: str, **inputs: Any) -> dict[str, Any]:
    """Return a graph with a class that kills a simulated node."""
    return {
        "1": picture(),
        "2": {"class_type": class_type, "inputs": {"image": ["1", 0], **inputs}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "never"}},
    }
