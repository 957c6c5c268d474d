"""Graphs that admission refuses. Each has one typical mistake."""

from typing import Any

IMAGE: dict[str, Any] = {"width": 64, "height": 64, "batch_size": 1, "color": 0}


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": {name.replace("__", "."): value for name, value in inputs.items()}}


def image(**inputs: Any) -> dict[str, Any]:
    given = {name: value for name, value in {**IMAGE, **inputs}.items() if value is not ...}
    return node("EmptyImage", **given)


def saved(source: Any = ("1", 0), **nodes: Any) -> dict[str, Any]:
    """Return a graph that saves one image. Keyword ``_<id>`` adds a node."""
    save = node("SaveImage", images=list(source) if isinstance(source, tuple) else source, filename_prefix="a")
    return {"1": image(), **{name.removeprefix("_"): one for name, one in nodes.items()}, "9": save}


def sampled(*, ckpt_name: str = "sim_xl.safetensors", **inputs: Any) -> dict[str, Any]:
    """Return a graph that samples one image."""
    usual = {"seed": 1, "steps": 1, "cfg": 1.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    links = {"model": ["2", 0], "positive": ["4", 0], "negative": ["4", 0], "latent_image": ["3", 0]}
    return saved(
        ("6", 0),
        _2=node("CheckpointLoaderSimple", ckpt_name=ckpt_name),
        _3=node("EmptyLatentImage", width=64, height=64, batch_size=1),
        _4=node("CLIPTextEncode", text="a", clip=["2", 1]),
        _5=node("KSampler", **{**links, **usual, **inputs}),
        _6=node("VAEDecode", samples=["5", 0], vae=["2", 2]),
    )


GRAPHS: dict[str, dict[str, Any]] = {
    "An empty workflow": {},
    "A node without class_type": {"1": {"inputs": {}}},
    "A class that no node has": {**saved(), "1": node("EmptyImag", **IMAGE)},
    "A class that the graph policy refuses": saved(_2=node("CheckpointSave", filename_prefix="x")),
    "A class of a custom pack": saved(("2", 0), _2=node("SimSleep", image=["1", 0], seconds=1)),
    "No output node": {"1": image()},
    "A missing value": {**saved(), "1": image(width=...)},
    "A missing link": saved(None),
    "A value below its range": {**saved(), "1": image(width=0)},
    "A value above its range": {**saved(), "1": image(width=99_999)},
    "A seed of -2": sampled(seed=-2),
    "A model that nobody has": sampled(ckpt_name="sim_x1.safetensors"),
    "A text where a number belongs": {**saved(), "1": image(width="wide")},
    "The text false for a boolean": saved(
        _2=node(
            "SaveAnimatedWEBP", images=["1", 0], filename_prefix="a", fps=6, lossless="false", quality=80,
            method="default",
        ),
    ),
    "A value that is not in a short list": saved(
        ("2", 0), _2=node("ImageScale", image=["1", 0], upscale_method="lanczo", width=8, height=8, crop="disabled")
    ),
    "A link of the wrong type": saved(("2", 0), _2=node("EmptyLatentImage", width=64, height=64, batch_size=1)),
    "A file name where a link belongs": saved("photo.png"),
    "A link with its node as a number": saved([1, 0]),
    "A link with its output as text": saved(["1", "0"]),
    "A link to a node that is not there": saved(["11", 0]),
    "A link to an output that is not there": saved(["1", 5]),
    "A list of three": saved(["1", 0, 0]),
    "A link inside of a wrapper": saved({"__value__": ["1", 0]}),
    "A circle": saved(("2", 0), _2=node("ImageInvert", image=["3", 0]), _3=node("ImageInvert", image=["2", 0])),
    "A file name in LoadImage": saved(("2", 0), _2=node("LoadImage", image="photo.png")),
    "A model by a link": saved(
        _2=node("CheckpointLoaderSimple", ckpt_name=["3", 0]),
        _3=node("PrimitiveString", value="a"),
        _4=node("PreviewAny", source=["2", 0]),
    ),
    "A part of a dynamic combo is missing": saved(
        ("2", 0),
        _2=node(
            "ResizeImageMaskNode", input=["1", 0], scale_method="area", resize_type="scale dimensions",
            resize_type__width=8, resize_type__height=8,
        ),
    ),
    "An autogrow input without its group": saved(("2", 0), _2=node("BatchImagesNode", image0=["1", 0])),
    "More pixels than the tier allows": {**saved(), "1": image(width=16_384, height=16_384, batch_size=16)},
    "An integer beyond 64 bits": {**saved(), "1": image(color=2**70)},
}  # fmt: skip
