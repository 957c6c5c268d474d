"""Which graph inputs name files, folders, models or outputs: reviewed for stock classes, by pattern for others."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

from contracts.graph_policy.registry import InputRole, find_stock_class
from contracts.workflow import MODEL_SUFFIXES

COMBO, STRING = "COMBO", "STRING"
MEDIA_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".exr", ".hdr", ".svg", ".psd"),
    *(
        ".mp4",
        ".m4v",
        ".mov",
        ".webm",
        ".mkv",
        ".avi",
        ".flv",
        ".wav",
        ".mp3",
        ".flac",
        ".ogg",
        ".opus",
        ".m4a",
        ".aac",
    ),
    *(".glb", ".gltf", ".obj", ".fbx", ".stl", ".ply", ".spz", ".splat", ".ksplat", ".usdz", ".bvh"),
    *(".latent", ".npy", ".npz", ".pkl", ".txt", ".json", ".jsonl", ".csv", ".yaml", ".yml", ".zip", ".srt"),
)
_MODELS = (*MODEL_SUFFIXES, ".onnx", ".engine", ".pkl", ".patch")
_PLAIN_TYPES = frozenset(
    [
        "INT",
        "FLOAT",
        "BOOLEAN",
        "IMAGE",
        "MASK",
        "LATENT",
        "MODEL",
        "CLIP",
        "VAE",
        "CONDITIONING",
        "AUDIO",
        "VIDEO",
        "CONTROL_NET",
        "CLIP_VISION",
        "CLIP_VISION_OUTPUT",
        "STYLE_MODEL",
        "GLIGEN",
        "SAMPLER",
        "SIGMAS",
        "GUIDER",
        "NOISE",
        "UPSCALE_MODEL",
        "HOOKS",
        "SVG",
        "MESH",
        "VOXEL",
    ]
)
_UPLOAD_TYPES = frozenset(
    [
        "WEBCAM",
        "AUDIO_RECORD",
        "LOAD_3D",
        "LOAD_3D_ANIMATION",
        "IMAGEUPLOAD",
        "AUDIOUPLOAD",
        "VIDEOUPLOAD",
        "FILEUPLOAD",
    ]
)
_MODEL_NAMES = frozenset(
    [
        "ckpt_name",
        "checkpoint_name",
        "lora_name",
        "vae_name",
        "unet_name",
        "clip_name",
        "clip_vision_name",
        "control_net_name",
        "controlnet_name",
        "style_model_name",
        "gligen_name",
        "hypernetwork_name",
        "upscale_model_name",
        "motion_model_name",
        "ipadapter_file",
    ]
)
_MODEL_WORDS = frozenset(
    {"model", "ckpt", "checkpoint", "lora", "vae", "unet", "clip", "controlnet", "embedding", "weights"}
)
_MEDIA_WORDS = frozenset({"image", "mask", "video", "audio", "latent", "sound", "mesh"})
_FILE_WORDS = frozenset({"path", "paths", "file", "files", "filepath", "filename", "filenames", "pathname", "basename"})
_FOLDER_WORDS = frozenset(
    {"folder", "folders", "foldername", "directory", "directories", "dir", "dirs", "dirname", "subfolder"}
)
_URL_WORDS = frozenset({"url", "urls", "uri", "uris", "webhook"})
_SAVE_WORDS = frozenset({"out", "output", "save", "saved", "export", "write", "dest", "destination", "target"})
_OUTPUT_NAMES = frozenset(
    {"filename_prefix", "file_prefix", "save_prefix", "output_prefix", "save_as", "save_to", "output_name", "save_name"}
)
_AFFIXES = frozenset({"prefix", "suffix", "delimiter"})
_CODE_NAMES = frozenset(
    {"python_code", "python", "js_code", "javascript", "script", "shader", "shader_code", "fragment_shader"}
)
_COMPOUND = re.compile(
    r"(in|out|input|output|save|src|base|full|image|img|video|audio|model|lora)(path|file|folder|dir)"
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_HINT = re.compile(
    "path|file|folder|dir|name|ur[il]|prefix|suffix|delimiter|save|script|shader|python|js|regex|webhook"
)
MAX_NESTED = 5_000  # maximum number of inputs that the dynamic inputs of a class expand to; executors report fewer
_MAX_NAME = 200  # only the end of a name is relevant; no author writes longer names


class InputDescription(Protocol):
    """What a node's catalog says about one input."""

    @property
    def type(self) -> str: ...
    @property
    def options(self) -> Sequence[Any] | None: ...
    @property
    def upload(self) -> bool: ...


class ClassDescription(Protocol):
    """What a node's catalog says about one class. ``module`` is its ``python_module``, if present."""

    @property
    def inputs(self) -> Mapping[str, Any]: ...
    @property
    def output_node(self) -> bool: ...


class ClassRoles:
    """The input roles of one class of one catalog. Build it once per catalog: a lookup takes less than 1 us.

    For a stock class the review decides. An input that the review does not list is judged by pattern, because a later
    version can have added it. Inputs of dynamic groups have dotted names ("format.codec").
    """

    def __init__(self, class_type: str, spec: ClassDescription) -> None:
        self._stock = find_stock_class(class_type, getattr(spec, "module", ""))
        self._output_node = spec.output_node
        self._declared = {name: self._decide_role(name, described) for name, described in spec.inputs.items()}
        self._nested_descriptions: dict[str, list[Any]] = {}
        for name, described in islice(_expand_dynamic_inputs(spec.inputs), MAX_NESTED):
            self._nested_descriptions.setdefault(name, []).append(described)
            role = self._decide_role(name, described) or self._decide_role(name, None)
            if role is InputRole.FILE or self._declared.get(name) is None:
                self._declared[name] = role

    def find_role(self, input_name: str) -> InputRole | None:
        """Return the role of an input; None if its value names nothing."""
        if input_name in self._declared:
            return self._declared[input_name]
        return self._decide_role(input_name, None)

    def list_nested_descriptions(self, input_name: str) -> Sequence[Any]:
        """Return the catalog's descriptions of a part of a dynamic input, one per option that has the part."""
        return self._nested_descriptions.get(input_name, ())

    def _decide_role(self, name: str, described: InputDescription | None) -> InputRole | None:
        if self._stock is not None:
            if (role := self._stock.find_role(name)) is not None:
                return role
            if name in self._stock.plain:
                return None
        return find_role_by_pattern(name, described, output_node=self._output_node)


def _expand_dynamic_inputs(inputs: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the name and description of every input that a dynamic input can expand to."""
    for short, described in inputs.items():
        name = prefix + short
        if prefix:
            yield name, described
        for variant in (getattr(described, "variants", None) or {}).values():
            yield from _expand_dynamic_inputs(variant, f"{name}.")
        grown = getattr(described, "grown", None)
        if grown is not None:
            yield from _expand_dynamic_inputs(dict.fromkeys(grown.names, grown.input), f"{name}.")


def find_role_by_pattern(name: str, described: InputDescription | None, *, output_node: bool) -> InputRole | None:
    """Return the role of an input from its name, type, upload flag and options alone."""
    if described is not None:
        if described.upload or described.type in _UPLOAD_TYPES:
            return InputRole.FILE
        if described.type in _PLAIN_TYPES:
            return None
        if described.type == COMBO and described.options is not None:
            return _find_combo_role(name, described.options)
    return _find_role_by_name(_find_last_part(name), output_node=output_node)


def _find_combo_role(name: str, options: Sequence[Any]) -> InputRole | None:
    """Return the role of a combo from its options, then from its name."""
    words = _split_words(_find_last_part(name)[-_MAX_NAME:])
    if "_".join(words) in _MODEL_NAMES or any(_is_file_name(option, _MODELS) for option in options):
        return InputRole.MODEL
    if any(_is_file_name(option, MEDIA_SUFFIXES) for option in options):
        return InputRole.FILE
    role = _find_role_by_name(_find_last_part(name), output_node=False)
    if role in {InputRole.FILE, InputRole.FOLDER, InputRole.MODEL, InputRole.URL}:
        return role
    return _find_empty_combo_role(words[-1]) if words and not options else None


def _find_empty_combo_role(last: str) -> InputRole | None:
    """Return the role of a combo without options: this node has none of the files that it would list."""
    if last == "name" or last in _MODEL_WORDS:
        return InputRole.MODEL
    return InputRole.FILE if last in _MEDIA_WORDS else None


def _find_role_by_name(name: str, *, output_node: bool) -> InputRole | None:
    name = name[-_MAX_NAME:]
    words = _split_words(name) if _HINT.search(name.lower()) else []
    if not words:
        return None
    normal, distinct, last = "_".join(words), frozenset(words), words[-1]
    if normal in _MODEL_NAMES:
        return InputRole.MODEL
    if (role := _find_text_role(distinct, normal, last)) is not None:
        return role
    if _is_output_name(distinct, normal, last, output_node=output_node):
        return InputRole.OUTPUT_NAME
    return _find_path_role(distinct, last)


def _find_text_role(distinct: frozenset[str], normal: str, last: str) -> InputRole | None:
    if normal in _CODE_NAMES:
        return InputRole.CODE
    if distinct & {"regex", "regexp"}:
        return InputRole.REGEX
    return InputRole.URL if last in _URL_WORDS else None


def _is_output_name(distinct: frozenset[str], normal: str, last: str, *, output_node: bool) -> bool:
    if normal in _OUTPUT_NAMES or (last in _AFFIXES and distinct & (_FILE_WORDS | _FOLDER_WORDS)):
        return True
    is_place = last in _FILE_WORDS | _FOLDER_WORDS or _is_file_or_folder_name(distinct, last)
    return (is_place and bool(output_node or distinct & _SAVE_WORDS)) or (output_node and normal == "prefix")


def _find_path_role(distinct: frozenset[str], last: str) -> InputRole | None:
    if last in _FOLDER_WORDS or (last in {"name", "path"} and distinct & _FOLDER_WORDS):
        return InputRole.FOLDER
    if last in _FILE_WORDS or _is_file_or_folder_name(distinct, last):
        return InputRole.MODEL if distinct & _MODEL_WORDS else InputRole.FILE
    return None


def _is_file_or_folder_name(distinct: frozenset[str], last: str) -> bool:
    """Whether an input holds the name of a file or folder ("file_name")."""
    return last in {"name", "names"} and bool(distinct & (_FILE_WORDS | _FOLDER_WORDS))


def _is_file_name(option: Any, suffixes: tuple[str, ...]) -> bool:
    """Whether an option is a file name and not just an extension such as ".png"."""
    return isinstance(option, str) and option[:1] != "." and option.lower().endswith(suffixes)


def _find_last_part(name: str) -> str:
    return name.rsplit(".", 1)[-1]


def _split_words(name: str) -> list[str]:
    """Split a name into words without digits: "imagePath2" is image and path, "outdir" is out and dir."""
    words: list[str] = []
    for found in _WORD.findall(name):
        word = found.lower()
        compound = _COMPOUND.fullmatch(word)
        words.extend(compound.groups() if compound else (word,))
    return words
