"""Audio nodes. They produce silence as valid FLAC files."""

import json

from simnode.flac import encode_silence
from simnode.folders import choose_save_target
from simnode.node_class import (
    SEED_MAX,
    Call,
    Field,
    NodeClass,
    NodeResult,
    build_hidden_metadata_inputs,
    link_input,
    run_in_thread,
    run_inline,
)
from simnode.nodes.saving import build_file_entry
from simnode.values import Silence, check_size_limit


def _create_silence(call: Call) -> NodeResult:
    rate, channels = call["sample_rate"], call["channels"]
    samples = round(call["duration"] * rate)
    check_size_limit(samples * channels)
    return NodeResult((Silence(samples, rate, channels),))


def _save_audio(call: Call) -> NodeResult:
    return _write_audio(call, call["filename_prefix"], "output")


def _preview_audio(call: Call) -> NodeResult:
    return _write_audio(call, f"ComfyUI_temp_{call.resources.choose_preview_letters(call.node_id)}", "temp")


def _write_audio(call: Call, prefix: str, kind: str) -> NodeResult:
    sound = call["audio"]
    target = choose_save_target(prefix, call.resources.folders.root / kind)
    name = target.build_name(0, ".flac")
    path = target.folder / name
    comments = {key: json.dumps(value) for key, value in {"prompt": call.prompt, **(call.pnginfo or {})}.items()}
    path.write_bytes(encode_silence(sound.samples, sound.sample_rate, sound.channels, comments))
    return NodeResult((sound,), {"audio": [build_file_entry(target, name, kind)]})


CLASSES = (
    NodeClass(
        name="EmptyAudio",
        run=run_inline(_create_silence),
        inputs=(
            Field("duration", "FLOAT", {"default": 60.0, "min": 0.0, "max": SEED_MAX, "step": 0.01}),
            Field("sample_rate", "INT", {"default": 44100, "min": 1, "max": 192000, "advanced": True}),
            Field("channels", "INT", {"default": 2, "min": 1, "max": 2, "advanced": True}),
        ),
        outputs=("AUDIO",),
        category="audio",
        module="comfy_extras.nodes_audio",
        display_name="Empty Audio",
        search_aliases=("blank audio",),
        schema_v3=True,
    ),
    NodeClass(
        name="SaveAudio",
        run=run_in_thread(_save_audio),
        inputs=(
            link_input("audio", "AUDIO"),
            Field("filename_prefix", "STRING", {"default": "audio/ComfyUI"}),
            *build_hidden_metadata_inputs(),
        ),
        outputs=("AUDIO",),
        output_node=True,
        category="audio",
        module="comfy_extras.nodes_audio",
        display_name="Save Audio (FLAC) (DEPRECATED)",
        search_aliases=("export flac",),
        deprecated=True,
        essentials="Audio",
        schema_v3=True,
    ),
    NodeClass(
        name="PreviewAudio",
        run=run_in_thread(_preview_audio),
        inputs=(link_input("audio", "AUDIO"), *build_hidden_metadata_inputs()),
        outputs=("AUDIO",),
        output_names=("audio",),
        output_node=True,
        category="audio",
        module="comfy_extras.nodes_audio",
        display_name="Preview Audio",
        search_aliases=("play audio",),
        schema_v3=True,
    ),
)
