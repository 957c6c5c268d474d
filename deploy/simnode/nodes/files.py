"""Nodes that load audio, videos, latents and 3D files. Loaded bytes are kept unchanged and can be saved again."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from simnode.folders import choose_save_target
from simnode.node_class import Call, Field, NodeClass, NodeResult, link_input, run_in_thread
from simnode.nodes.loaders import find_annotated_path
from simnode.nodes.saving import build_file_entry
from simnode.resources import NodeResources
from simnode.values import LoadedFile, LoadedLatent, LoadedSilence
from simnode.wire import Document

MODELS = (".gltf", ".glb", ".obj", ".fbx", ".stl", ".spz", ".splat", ".ply", ".ksplat")


def _read_file(call: Call, name: str) -> LoadedFile:
    path = find_annotated_path(str(call[name]), call.resources)
    if path is None:
        raise FileNotFoundError(call[name])
    return LoadedFile(path.read_bytes(), path.suffix)


def _load_audio(call: Call) -> NodeResult:
    return NodeResult((LoadedSilence(44_100, 44_100, 2, file=_read_file(call, "audio")),))


def _load_video(call: Call) -> NodeResult:
    return NodeResult((_read_file(call, "file"),))


def _load_latent(call: Call) -> NodeResult:
    file = _read_file(call, "latent")
    header = json.loads(file.content[8 : 8 + int.from_bytes(file.content[:8], "little")])
    batch, _, height, width = header["latent_tensor"]["shape"]
    return NodeResult((LoadedLatent(width * 8, height * 8, batch, file=file),))


def _load_model(call: Call) -> NodeResult:
    return NodeResult((None, None, call["model_file"], None, None, None, _read_file(call, "model_file"), None))


def _save_file(call: Call) -> NodeResult:
    file = call["source"] if isinstance(call["source"], LoadedFile) else call["source"].file
    target = choose_save_target(call["filename_prefix"], call.resources.folders.root / "output")
    name = target.build_name(0, "_" + file.suffix)
    (target.folder / name).write_bytes(file.content)
    return NodeResult((), {"files": [build_file_entry(target, name, "output")]})


def _build_check(what: str) -> Callable[[object, NodeResources], bool | str]:
    def check(name: object, resources: NodeResources) -> bool | str:
        path = find_annotated_path(str(name), resources)
        return True if path is not None and path.exists() else f"Invalid {what} file: {name}"

    return check


def _build_fingerprint(name: str) -> Callable[[Document, NodeResources], str]:
    def fingerprint(inputs: Document, resources: NodeResources) -> str:
        path = find_annotated_path(str(inputs[name]), resources)
        if path is None:
            raise FileNotFoundError(inputs[name])
        return hashlib.sha256(path.read_bytes()).hexdigest()

    return fingerprint


def _list_files_with_suffix(suffixes: tuple[str, ...], folder: str = "") -> Callable[[NodeResources], list[str]]:
    def files(resources: NodeResources) -> list[str]:
        base = resources.folders.root / "input"
        found = (path.relative_to(base).as_posix() for path in _find_files(base / folder, deep=bool(folder)))
        return sorted(one for one in found if one.lower().endswith(suffixes))

    return files


def _find_files(folder: Path, *, deep: bool) -> list[Path]:
    return [path for path in (folder.rglob("*") if deep else folder.glob("*")) if path.is_file()]


def _add_none_option(files: Callable[[NodeResources], list[str]]) -> Callable[[NodeResources], list[str]]:
    return lambda resources: ["none", *files(resources)]


_SIDE = {"default": 1024, "min": 1, "max": 4096, "step": 1}

CLASSES = (
    NodeClass(
        name="LoadAudio",
        run=run_in_thread(_load_audio),
        inputs=(
            Field("audio", _list_files_with_suffix((".wav", ".mp3", ".flac", ".ogg", ".mp4")), {"audio_upload": True}),
        ),
        outputs=("AUDIO",),
        category="audio",
        module="comfy_extras.nodes_audio",
        display_name="Load Audio",
        search_aliases=("import audio", "open audio", "audio file"),
        essentials="Audio",
        schema_v3=True,
        validate=("audio", _build_check("audio")),
        fingerprint=_build_fingerprint("audio"),
    ),
    NodeClass(
        name="LoadVideo",
        run=run_in_thread(_load_video),
        inputs=(Field("file", _list_files_with_suffix((".mp4", ".webm", ".mkv", ".mov")), {"video_upload": True}),),
        outputs=("VIDEO",),
        category="video",
        module="comfy_extras.nodes_video",
        display_name="Load Video",
        search_aliases=("import video", "open video", "video file"),
        essentials="Basics",
        schema_v3=True,
        validate=("file", _build_check("video")),
        fingerprint=_build_fingerprint("file"),
    ),
    NodeClass(
        name="LoadLatent",
        run=run_in_thread(_load_latent),
        inputs=(Field("latent", _list_files_with_suffix((".latent",))),),
        outputs=("LATENT",),
        category="model/latent",
        display_name="Load Latent",
        search_aliases=("import latent", "open latent"),
        validate=("latent", _build_check("latent")),
        fingerprint=_build_fingerprint("latent"),
    ),
    NodeClass(
        name="Load3D",
        run=run_in_thread(_load_model),
        inputs=(
            Field("model_file", _add_none_option(_list_files_with_suffix(MODELS, "3d")), {"file_upload": True}),
            Field("image", "LOAD_3D"),
            Field("width", "INT", _SIDE),
            Field("height", "INT", _SIDE),
        ),
        outputs=("IMAGE", "MASK", "STRING", "IMAGE", "LOAD3D_CAMERA", "VIDEO", "FILE_3D", "LOAD3D_MODEL_INFO"),
        output_names=(
            *("image", "mask", "mesh_path", "normal", "camera_info", "recording_video"),
            *("model_3d", "model_3d_info"),
        ),
        category="3d",
        module="comfy_extras.nodes_load_3d",
        display_name="Load 3D & Animation",
        essentials="Basics",
        schema_v3=True,
        validate=("model_file", _build_check("3D model")),
    ),
    NodeClass(
        name="SimSaveFile",
        run=run_in_thread(_save_file),
        inputs=(link_input("source", "*"), Field("filename_prefix", "STRING", {"default": "ComfyUI"})),
        output_node=True,
        category="simnode",
        module="custom_nodes.simnode",
        description="Saves the bytes of a loaded file as they are.",
    ),
)
