"""What a node has on disk for its node classes: model names, input files, folders; and its own small choices."""

import random

from simnode.folders import Folders
from simnode.settings import Settings

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
        return list(self._models.get(folder, [])) if folder in MODEL_FOLDERS else None

    def checkpoints(self) -> list[str]:
        """Checkpoint file names."""
        return list(self._models["checkpoints"])

    def loras(self) -> list[str]:
        """LoRA file names."""
        return list(self._models["loras"])

    def vaes(self) -> list[str]:
        """VAE file names and the built-in ``pixel_space``, which needs no file."""
        return [*self._models["vae"], "pixel_space"]

    def input_files(self) -> list[str]:
        """Names in the input folder."""
        return self.folders.input_files()

    def preview_letters(self, node_id: str) -> str:
        """The five letters in the temp file names of one preview node; the same for as long as the node is up."""
        if node_id not in self._letters:
            self._letters[node_id] = "".join(self._rng.choice(LETTERS) for _ in range(5))
        return self._letters[node_id]
