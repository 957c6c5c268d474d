"""What node classes use: settings, models, input files, folders, and the random names of previews."""

import random

from simnode.folders import Folders
from simnode.settings import Settings
from simnode.wire import Document

OUTPUT_MODEL_FOLDERS = {
    name: name if name != "text_encoders" else "clip"
    for name in ("checkpoints", "text_encoders", "vae", "diffusion_models", "loras")
}  # model folders that ComfyUI also looks for under its output folder, mapped to their names there
LETTERS = "abcdefghijklmnopqrstuvwxyz"

MODEL_FOLDERS = (
    "checkpoints", "configs", "loras", "vae", "text_encoders", "diffusion_models", "clip_vision", "style_models",
    "embeddings", "diffusers", "vae_approx", "controlnet", "gligen", "upscale_models", "latent_upscale_models",
    "hypernetworks", "photomaker", "classifiers", "model_patches", "audio_encoders",
)  # fmt: skip


class NodeResources:
    """Settings, models and files of one node."""

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

    def list_models(self, folder: str) -> list[str] | None:
        """Return file names in a model folder; None if there is no such folder."""
        return sorted({file["name"] for file in self.list_model_files(folder)}) if folder in MODEL_FOLDERS else None

    def set_models(self, folder: str, names: list[str]) -> None:
        """Set the files of a model folder."""
        self._models[folder] = sorted(names)

    def list_model_folders(self, folder: str) -> list[str]:
        """Return the folders of a kind of model: installed ones first, then for some kinds one in the output folder."""
        paths = [self.folders.root / "models" / folder]
        if folder in OUTPUT_MODEL_FOLDERS:
            paths.append(self.folders.root / "output" / OUTPUT_MODEL_FOLDERS[folder])
        return [str(path) for path in paths]

    def list_model_files(self, folder: str) -> list[Document]:
        """Return the files of a kind of model, each with the index of its folder."""
        written = (
            self.folders.list_written_models(OUTPUT_MODEL_FOLDERS[folder]) if folder in OUTPUT_MODEL_FOLDERS else []
        )
        found = [(name, 0) for name in self._models.get(folder, [])] + [(name, 1) for name in written]
        return [{"name": name, "pathIndex": index} for name, index in found]

    def list_checkpoints(self) -> list[str]:
        return self.list_models("checkpoints") or []

    def list_loras(self) -> list[str]:
        return self.list_models("loras") or []

    def list_vaes(self) -> list[str]:
        """Return VAE file names and the built-in ``pixel_space``, which needs no file."""
        return [*(self.list_models("vae") or []), "pixel_space"]

    def list_input_folders(self) -> list[str]:
        return self.folders.list_input_folders()

    def list_input_files(self) -> list[str]:
        return self.folders.list_input_files()

    def choose_preview_letters(self, node_id: str) -> str:
        """Return the five random letters in the temp file names of one preview node, constant until the node stops."""
        if node_id not in self._letters:
            self._letters[node_id] = "".join(self._rng.choice(LETTERS) for _ in range(5))
        return self._letters[node_id]
