"""Workflows written by hand: typical mistakes and correct variants."""

from typing import Any

from tests.differential.bases import Workflow

IMAGE: dict[str, Any] = {"class_type": "EmptyImage", "inputs": {"width": 32, "height": 32, "batch_size": 1, "color": 1}}
SAVE: dict[str, Any] = {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "a"}}


def build_handmade_workflows() -> dict[str, Workflow]:
    """Return the workflows by name."""
    image_with: dict[str, dict[str, Any]] = {
        "width as text": {"width": "32"},
        "width as text with a fraction": {"width": "32.5"},
        "width as text with an underscore": {"width": "3_2"},
        "width as a fraction": {"width": 32.9},
        "width as true": {"width": True},
        "width as null": {"width": None},
        "width wrapped": {"width": {"__value__": 32}},
        "width wrapped twice": {"width": {"__value__": {"__value__": 32}}},
        "width of infinity as text": {"batch_size": "inf"},
        "color at its maximum": {"color": 0xFFFFFF},
        "color above its maximum": {"color": 0x1000000},
        "width of zero": {"width": 0},
        "width as an object": {"width": {}},
    }
    made: dict[str, Workflow] = {
        f"image with {name}": {"1": {**IMAGE, "inputs": {**IMAGE["inputs"], **change}}, "2": SAVE}
        for name, change in image_with.items()
    }
    return made | {
        "image": {"1": IMAGE, "2": SAVE},
        "two outputs of one image": {"1": IMAGE, "2": SAVE, "3": SAVE},
        "one good output and one bad": {"1": IMAGE, "2": SAVE, "3": {**SAVE, "inputs": {"images": ["1", 0]}}},
        "output alone": {"2": {**SAVE, "inputs": {"filename_prefix": "a"}}},
        "no output": {"1": IMAGE},
        "unconnected loader with a missing model": {
            "1": IMAGE, "2": SAVE,
            "7": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "gone.safetensors"}},
        },
        "unconnected cycle": {
            "1": IMAGE, "2": SAVE,
            "8": {"class_type": "ImageInvert", "inputs": {"image": ["9", 0]}},
            "9": {"class_type": "ImageInvert", "inputs": {"image": ["8", 0]}},
        },
        "cycle that feeds an output": {
            "2": {**SAVE, "inputs": {"images": ["8", 0], "filename_prefix": "a"}},
            "8": {"class_type": "ImageInvert", "inputs": {"image": ["9", 0]}},
            "9": {"class_type": "ImageInvert", "inputs": {"image": ["8", 0]}},
        },
        "unconnected load of a picture that is gone": {
            "1": IMAGE, "2": SAVE, "7": {"class_type": "LoadImage", "inputs": {"image": "gone.png"}},
        },
        "extra keys in nodes": {
            "1": {**IMAGE, "is_changed": ["abc"], "title": "a", "mode": 0, "x": None},
            "2": {**SAVE, "_meta": {"title": "b"}},
        },
        "literal on a socket": {"2": {**SAVE, "inputs": {"images": "photo.png", "filename_prefix": "a"}}},
        "own choice": {
            "1": {"class_type": "CustomCombo", "inputs": {"choice": "x", "option1": "x", "index": 0}},
            "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
        },
        "wrapped list on a wildcard": {
            "2": {"class_type": "PreviewAny", "inputs": {"source": {"__value__": [1, 2, 3]}}},
        },
        "wrapped link to nowhere": {
            "2": {"class_type": "PreviewAny", "inputs": {"source": {"__value__": ["999", 0]}}},
        },
        "number as a preview": {"2": {"class_type": "PreviewAny", "inputs": {"source": 5}}},
        "resize without crop": _resized({"resize_type": "scale dimensions", "resize_type.width": 8,
                                         "resize_type.height": 8}),
        "resize beyond its range": _resized({"resize_type": "scale by multiplier", "resize_type.multiplier": 99}),
        "resize by text": _resized({"resize_type": "scale by multiplier", "resize_type.multiplier": "2"}),
        "resize without its choice": _resized({}),
        "resize with an unknown choice": _resized({"resize_type": "scale wildly"}),
        "resize with parts of another choice": _resized({
            "resize_type": "scale by multiplier", "resize_type.multiplier": 2.0, "resize_type.crop": "nonsense",
        }),
        "resize of a match": _resized({
            "resize_type": "match size", "resize_type.match": ["1", 0], "resize_type.crop": "center",
        }),
        "resize with a match of another type": _resized({
            "resize_type": "match size", "resize_type.match": ["9", 0], "resize_type.crop": "center",
        }) | {"9": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}}},
        "video saved without a codec": _saved_video({"format": "auto"}),
        "video saved with a codec beside its format": _saved_video({"format": "mp4", "codec": "h264"}),
        "video saved with a codec of its format": _saved_video({"format": "mp4", "format.codec": "h264"}),
        "video saved without a format": _saved_video({}),
        "batch of two": _batched({"images.image0": ["1", 0], "images.image1": ["1", 0]}),
        "batch that starts with the second": _batched({"images.image1": ["1", 0]}),
        "batch without its group": _batched({"image0": ["1", 0]}),
        "batch of a latent": _batched({"images.image0": ["9", 0]})
        | {"9": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}}},
        "batch with a bad second": _batched({"images.image0": ["1", 0], "images.image1": ["1", 7]}),
        "batch beyond its maximum": _batched({"images.image0": ["1", 0], "images.image50": ["nowhere", 0]}),
    }  # fmt: skip


def _resized(inputs: dict[str, Any]) -> Workflow:
    resize = {"class_type": "ResizeImageMaskNode", "inputs": {"input": ["1", 0], "scale_method": "area", **inputs}}
    return {"1": IMAGE, "2": resize, "3": {**SAVE, "inputs": {"images": ["2", 0], "filename_prefix": "a"}}}


def _batched(inputs: dict[str, Any]) -> Workflow:
    batch = {"class_type": "BatchImagesNode", "inputs": inputs}
    return {"1": IMAGE, "2": batch, "3": {**SAVE, "inputs": {"images": ["2", 0], "filename_prefix": "a"}}}


def _saved_video(inputs: dict[str, Any]) -> Workflow:
    return {
        "1": IMAGE,
        "2": {"class_type": "CreateVideo", "inputs": {"images": ["1", 0], "fps": 30.0}},
        "3": {"class_type": "SaveVideo", "inputs": {"video": ["2", 0], "filename_prefix": "a", **inputs}},
    }
