"""Nodes on sound; there is only silence, saved as real FLAC."""

from simnode.flac import silence
from simnode.folders import save_target
from simnode.node_class import SEED_MAX, Call, Field, NodeClass, Result, hidden_metadata, in_thread, instantly, socket
from simnode.nodes.saving import file_entry
from simnode.values import Silence, check_extent


def _empty(call: Call) -> Result:
    rate, channels = call["sample_rate"], call["channels"]
    samples = round(call["duration"] * rate)
    check_extent(samples * channels)
    return Result((Silence(samples, rate, channels),))


def _save(call: Call) -> Result:
    sound = call["audio"]
    target = save_target(call["filename_prefix"], call.shelf.folders.root / "output")
    name = target.name(0, ".flac")
    path = target.folder / name
    path.write_bytes(silence(sound.samples, sound.sample_rate, sound.channels))
    return Result((sound,), {"audio": [file_entry(target, name, "output")]})


CLASSES = (
    NodeClass(
        name="EmptyAudio",
        run=instantly(_empty),
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
        run=in_thread(_save),
        inputs=(
            socket("audio", "AUDIO"),
            Field("filename_prefix", "STRING", {"default": "audio/ComfyUI"}),
            *hidden_metadata(),
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
)
