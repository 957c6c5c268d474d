"""What a node has on disk for its node classes: model names, input files, folders; and its own small choices."""

import random

from simnode.folders import Folders
from simnode.settings import Settings
from simnode.wire import Document

WRITTEN = {
    name: name if name != "text_encoders" else "clip"
    for name in ("checkpoints", "text_encoders", "vae", "diffusion_models", "loras")
}  # kinds of model that ComfyUI also looks for in its output folder, and the folder's name there
LETTERS = "abcdefghijklmnopqrstuvwxyz"

MODEL_FOLDERS = (
    "checkpoints", "configs", "loras", "vae", "text_encoders", "diffusion_models", "clip_vision", "style_models",
    "embeddings", "diffusers", "vae_approx", "controlnet", "gligen", "upscale_models", "latent_upscale_models",
    "hypernetworks", "photomaker", "classifiers", "model_patches", "audio_encoders",
)  # fmt: skip


class Shelf:
    """Models, files and settings that node classes look at."""

    def __init__(self, settings: Settings, folders: Folders, rng: random.Random) -> None:
        self.settings = settings
        self.folders = folders
        self._rng = rng
        self._models = {
            "checkpoints": sorted(settings.checkpoints),
            "loras": ["sim_detail.safetensors"],
            "vae": ["sim_vae.safetensors"],
        }
        self._letters: dict[str, str] = {}

    def models(self, folder: str) -> list[str] | None:
        """File names in a model folder; None if there is no such folder."""
        return sorted({file["name"] for file in self.model_files(folder)}) if folder in MODEL_FOLDERS else None

    def set_models(self, folder: str, names: list[str]) -> None:
        """Have a model folder hold these files from now on."""
        self._models[folder] = sorted(names)

    def model_folders(self, folder: str) -> list[str]:
        """Where the files of a kind of model are: installed ones first, then, for some kinds, in the output folder."""
        places = [self.folders.root / "models" / folder]
        if folder in WRITTEN:
            places.append(self.folders.root / "output" / WRITTEN[folder])
        return [str(place) for place in places]

    def model_files(self, folder: str) -> list[Document]:
        """The files of a kind of model, with the index of the folder that each is in."""
        written = self.folders.written_models(WRITTEN[folder]) if folder in WRITTEN else []
        found = [(name, 0) for name in self._models.get(folder, [])] + [(name, 1) for name in written]
        return [{"name": name, "pathIndex": index} for name, index in found]

    def checkpoints(self) -> list[str]:
        """Checkpoint file names."""
        return self.models("checkpoints") or []

    def loras(self) -> list[str]:
        """LoRA file names."""
        return self.models("loras") or []

    def vaes(self) -> list[str]:
        """VAE file names and the built-in ``pixel_space``, which needs no file."""
        return [*(self.models("vae") or []), "pixel_space"]

    def input_folders(self) -> list[str]:
        """Folders in the input folder."""
        return self.folders.input_folders()

    def input_files(self) -> list[str]:
        """Names in the input folder."""
        return self.folders.input_files()

    def preview_letters(self, node_id: str) -> str:
        """The five letters in the temp file names of one preview node; the same for as long as the node is up."""
        if node_id not in self._letters:
            self._letters[node_id] = "".join(self._rng.choice(LETTERS) for _ in range(5))
        return self._letters[node_id]
