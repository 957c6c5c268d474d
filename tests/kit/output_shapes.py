"""Formats in which stock and custom classes report outputs, and the outputs expected of a job for each.

The files of each shape differ in content. Paths begin with ``output/`` or ``temp/``.
"""

import math
from dataclasses import dataclass, field
from typing import Any

from contracts.scheduler.outputs import OutputKind


@dataclass(frozen=True)
class ExpectedOutput:
    """One expected output: the bytes of a file, a text, or a JSON value."""

    key: str
    position: int
    file: str | None = None
    text: str | None = None
    json: Any = None

    @property
    def temporary(self) -> bool:
        return self.file is not None and self.file.startswith("temp/")


@dataclass(frozen=True)
class Shape:
    """What a node reports (its ``ui``), the files that it writes, and the expected outputs."""

    name: str
    report: dict[str, Any]
    expected: list[ExpectedOutput]
    files: list[str] = field(default_factory=list)


def content_of(path: str) -> bytes:
    return f"content of {path}".encode()


def _file(path: str, key: str = "images", position: int = 0) -> ExpectedOutput:
    return ExpectedOutput(key, position, file=path)


def _text(text: str, key: str = "text", position: int = 0) -> ExpectedOutput:
    return ExpectedOutput(key, position, text=text)


def _json(value: Any, key: str, position: int = 0) -> ExpectedOutput:
    return ExpectedOutput(key, position, json=value)


def _entry(path: str, **more: Any) -> dict[str, Any]:
    """Build the JSON object by which ComfyUI reports a file."""
    kind, _, inside = path.partition("/")
    subfolder, _, filename = inside.rpartition("/")
    return {"filename": filename, "subfolder": subfolder, "type": kind, **more}


def _saved(name: str, path: str, key: str = "images", **more: Any) -> Shape:
    """Return the shape of a node that reports one file as an object."""
    return Shape(name, {key: [_entry(path)], **more}, [_file(path, key)], [path])


def _named(name: str, string: str, path: str, key: str = "result") -> Shape:
    """Return the shape of a node that reports one file as a string."""
    return Shape(name, {key: [string]}, [_file(path, key)], [path])


def _values(name: str, key: str, *values: Any) -> Shape:
    """Return the shape of a node that reports values, all of which are expected outputs."""
    expected = [
        _text(value, key, place) if isinstance(value, str) else _json(value, key, place)
        for place, value in enumerate(values)
    ]
    return Shape(name, {key: list(values)}, expected)


LONG = "A lighthouse at dusk, seen from a small boat. " * 7_000
SPLIT = "a caption that its node returned without a list around it"
POSE = {"people": [{"pose_keypoints_2d": [0.5, 0.25, 1.0]}], "canvas_width": 512, "canvas_height": 768}
CAMERA = {"position": {"x": 1.5, "y": 0, "z": -2}, "fov": 35}


def _nested(levels: int) -> Any:
    return [_nested(levels - 1)] if levels else "core"


FILES = (
    _saved("saved image", "output/s1/a_00001_.png"),
    _saved("preview image", "temp/ComfyUI_temp_abcde_00001_.png"),
    _saved("image without animation", "temp/still.png", animated=[False]),
    _saved("animated webp", "output/s1/moves.webp", animated=[True]),
    _saved("video under images", "output/s1/clip_00001_.webm", animated=[True]),
    _saved("svg", "output/s1/drawing.svg"),
    _saved("audio", "output/s1/a_00001.flac", "audio"),
    _saved("latent", "output/s1/x_00001_.latent", "latents"),
    _saved("3d object", "output/3d/object.glb", "3d"),
    _saved("unknown extension", "output/s1/weights.dat", "files"),
    _saved("saved json", "output/s1/data.json", "files"),
    _saved("saved csv", "output/s1/data.csv", "files"),
    _saved("name in another script", "output/s1/日本語 Файл.png"),
    _saved("name with signs of URLs", "output/s1/50% & more+#1.png"),
    Shape(
        "video of a pack",
        {"gifs": [_entry("output/vhs_00001.mp4", format="video/h264-mp4", frame_rate=8.0, fullpath="/srv/o/vhs.mp4")]},
        [_file("output/vhs_00001.mp4", "gifs")],
        ["output/vhs_00001.mp4"],
    ),
    Shape(
        "file with nothing but its name",
        {"images": [{"filename": "bare.png"}]},
        [_file("output/bare.png")],
        ["output/bare.png"],
    ),
    Shape(
        "batch",
        {"images": [_entry(f"output/b_0000{number}_.png") for number in (1, 2, 3)]},
        [_file(f"output/b_0000{number}_.png", position=number - 1) for number in (1, 2, 3)],
        [f"output/b_0000{number}_.png" for number in (1, 2, 3)],
    ),
    Shape(
        "comparison with one side",
        {"a_images": [_entry("temp/compare.a.png")], "b_images": []},
        [_file("temp/compare.a.png", "a_images")],
        ["temp/compare.a.png"],
    ),
    Shape(
        "shader with inputs and outputs",
        {"input_images": [_entry("temp/glsl_in.png")], "images": [_entry("temp/glsl_out.png")]},
        [_file("temp/glsl_in.png", "input_images"), _file("temp/glsl_out.png")],
        ["temp/glsl_in.png", "temp/glsl_out.png"],
    ),
    Shape(
        "saved and temporary together",
        {"images": [_entry("output/both.png"), _entry("temp/both.png")]},
        [_file("output/both.png"), _file("temp/both.png", position=1)],
        ["output/both.png", "temp/both.png"],
    ),
    Shape(
        "lists in lists",
        {"images": [[_entry("output/n1.png")], [_entry("output/n2.png")]]},
        [_file("output/n1.png"), _file("output/n2.png", position=1)],
        ["output/n1.png", "output/n2.png"],
    ),
    Shape(
        "files by name",
        {"views": {"front": _entry("output/front.png"), "back": _entry("output/back.png")}},
        [_file("output/front.png", "views"), _file("output/back.png", "views")],
        ["output/front.png", "output/back.png"],
    ),
    Shape(
        "the same file twice",
        {"images": [_entry("output/twice.png"), _entry("output/twice.png")]},
        [_file("output/twice.png")],
        ["output/twice.png"],
    ),
)

FILES_AS_STRINGS = (
    Shape(
        "3d preview",
        {"result": ["3d/mesh.glb", None, None]},
        [_file("output/3d/mesh.glb", "result")],
        ["output/3d/mesh.glb"],
    ),
    Shape(
        "3d preview with camera and background",
        {"result": ["3d/scene.glb", CAMERA, "temp/bg_0123.png"]},
        [
            _file("output/3d/scene.glb", "result"),
            _json(CAMERA, "result", 1),
            _file("temp/bg_0123.png", "result", 2),
        ],
        ["output/3d/scene.glb", "temp/bg_0123.png"],
    ),
    Shape(
        "3d preview in the temporary folder",
        {"result": ["preview3d_advanced_0123.glb", None, []]},
        [_file("temp/preview3d_advanced_0123.glb", "result")],
        ["temp/preview3d_advanced_0123.glb"],
    ),
    _named("point cloud", "s2/cloud_00001.ply", "output/s2/cloud_00001.ply"),
    _named("splat", "preview_splat_0123.spz", "temp/preview_splat_0123.spz"),
    _named("video as a string", "clip.mp4", "output/clip.mp4", "video"),
    _named("string with its folder behind", "s2/x.png [output]", "output/s2/x.png", "images"),
    _named("string with its folder in front", "output/s2/y.png", "output/s2/y.png", "images"),
    _named("string with backslashes", "s2\\z.png", "output/s2/z.png", "images"),
    _named("absolute path", "/srv/ComfyUI/output/s2/absolute.wav", "output/s2/absolute.wav", "path"),
)

TEXTS = (
    _values("a text", "text", "a caption"),
    _values("texts", "text", "one", "two", "three"),
    _values("string", "string", "a"),
    _values("tags", "tags", "a, b"),
    _values("empty text", "text", ""),
    _values("text in another script", "text", "灯台、黄昏 🌅 naïve"),
    _values("lines and tabs", "text", "first\n\tsecond\r\n"),
    _values("control characters", "text", "a\x00b\x1b[31mc"),
    _values("markup", "markdown", "# Title\n<b>bold</b>"),
    _values("number as text", "text", "3.14"),
    _values("long text", "text", LONG),
    _values("name of no file", "result", "3d/missing.glb"),
    _values("path that leaves its folder", "result", "../../etc/passwd.txt"),
    Shape("text without a list", {"text": "alone"}, [_text("alone")]),
    Shape("text with gaps", {"text": ["a", None, "b"]}, [_text("a"), _text("b", position=2)]),
    Shape("text that ComfyUI split", {"text": list(SPLIT)}, [_text(SPLIT)]),
    Shape("very many texts", {"text": ["line"] * 150}, [_json(["line"] * 150, "text")]),
    Shape("half a surrogate pair", {"text": ["\ud800"]}, [_json("\ud800", "text")]),
    Shape("name of a file as a text", {"text": ["named.png"]}, [_text("named.png")], ["output/named.png"]),
    Shape(
        "caption beside a preview",
        {"text": ["a caption"], "images": [_entry("temp/c.png")]},
        [_text("a caption"), _file("temp/c.png")],
        ["temp/c.png"],
    ),
    Shape(
        "text that was saved too",
        {"text": ["kept"], "files": [_entry("output/kept.txt")]},
        [_text("kept"), _file("output/kept.txt", "files")],
        ["output/kept.txt"],
    ),
    Shape(
        "text beside an input",
        {"images": [_entry("input/given.png")], "text": ["of the input"]},
        [_text("of the input")],
    ),
    _values("key with signs", "a key/with: signs", "x"),
)

VALUES = (
    _values("value", "value", 42),
    _values("numbers in a text", "text", 1, 2.5),
    _values("booleans in a text", "text", True, False),
    _values("boolean", "ok", True),
    _values("pose", "openpose_json", POSE),
    _values("size", "dims", 512, 768),
    _values("boxes", "input_bboxes", [1, 2, 30, 40], [5, 6, 70, 80]),
    _values("no boxes", "input_bboxes", []),
    _values("rows", "rows", ["a", "b"], ["c", "d"]),
    _values("objects", "stats", {"mean": 0.5, "name": "é"}, {}),
    _values("everything together", "value", "a", 1, {"b": [2, None]}, True),
    _values("huge integer", "value", 2**70),
    _values("small float", "value", 1e-300, -0.5),
    _values("deep value", "value", _nested(25)),
    Shape("value without a list", {"value": 7}, [_json(7, "value")]),
    Shape("object without a list", {"info": {"a": 1}}, [_json({"a": 1}, "info")]),
    Shape("histogram", {"histogram": list(range(256))}, [_json(list(range(256)), "histogram")]),
    Shape(
        "numbers that JSON does not have",
        {"value": [math.nan, [math.inf, -math.inf]]},
        [_json("NaN", "value"), _json(["Infinity", "-Infinity"], "value", 1)],
    ),
    Shape("name that is no text", {"images": [{"filename": 5}]}, [_json({"filename": 5}, "images")]),
    Shape(
        "file inside of an object",
        {"found": [{"image": _entry("output/found.png"), "score": 0.5}]},
        [_file("output/found.png", "found"), _json({"image": _entry("output/found.png"), "score": 0.5}, "found")],
        ["output/found.png"],
    ),
    Shape(
        "layers",
        {
            "images": [_entry("temp/layers.png")],
            "animated": [False],
            "compositor_inputs": [{"w": 64, "h": 48}],
            "compositor_state_stale": [True],
        },
        [
            _file("temp/layers.png"),
            _json({"w": 64, "h": 48}, "compositor_inputs"),
            _json(True, "compositor_state_stale"),
        ],
        ["temp/layers.png"],
    ),
)

SHAPES = (*FILES, *FILES_AS_STRINGS, *TEXTS, *VALUES)

KINDS = {
    ".png": OutputKind.IMAGE,
    ".svg": OutputKind.IMAGE,
    ".webp": OutputKind.IMAGE,
    ".webm": OutputKind.VIDEO,
    ".mp4": OutputKind.VIDEO,
    ".flac": OutputKind.AUDIO,
    ".wav": OutputKind.AUDIO,
    ".glb": OutputKind.MODEL,
    ".ply": OutputKind.MODEL,
    ".spz": OutputKind.MODEL,
    ".json": OutputKind.TEXT,
    ".csv": OutputKind.TEXT,
    ".txt": OutputKind.TEXT,
}
