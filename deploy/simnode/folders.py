"""The folders of a node, and the rules that keep file names inside them."""

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

FOLDER_TYPES = ("output", "input", "temp")


@dataclass(frozen=True, slots=True)
class SaveTarget:
    """Where a node saves: ``folder / f"{stem}_{counter:05}_.ext"``. Clients are sent ``subfolder``."""

    folder: Path
    stem: str
    counter: int
    subfolder: str

    def build_name(self, offset: int, suffix: str) -> str:
        """Return the file name of item ``offset`` of a batch. ``%batch_num%`` is replaced by that index."""
        return f"{self.stem.replace('%batch_num%', str(offset))}_{self.counter + offset:05}{suffix}"


class Folders:
    """The ``input``, ``output`` and ``temp`` folders of one node."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def prepare(self) -> None:
        """Create the folders and empty ``temp``."""
        shutil.rmtree(self.root / "temp", ignore_errors=True)
        for kind in FOLDER_TYPES:
            (self.root / kind).mkdir(parents=True, exist_ok=True)

    def get_folder(self, kind: str) -> Path | None:
        """Return the folder of a type name; None if there is no such type."""
        return self.root / kind if kind in FOLDER_TYPES else None

    def split_annotation(self, name: str, default: str) -> tuple[str, Path]:
        """Split a trailing `` [output]``, `` [input]`` or `` [temp]`` off a name. The suffix overrides ``default``."""
        for kind in FOLDER_TYPES:
            if name.endswith(f"[{kind}]"):
                return name[: -len(kind) - 3], self.root / kind
        return name, self.root / default

    def list_input_files(self) -> list[str]:
        """Return the names of files directly in ``input``, sorted."""
        with os.scandir(self.root / "input") as entries:
            return sorted(entry.name for entry in entries if entry.is_file())

    def list_input_folders(self) -> list[str]:
        """Return all folders below ``input`` as relative paths, sorted."""
        base = self.root / "input"
        return sorted(path.relative_to(base).as_posix() for path in base.rglob("*") if path.is_dir())

    def list_written_models(self, kind: str) -> list[str]:
        """Return the names of model files in a model folder of ``output``, sorted."""
        base = self.root / "output" / kind
        return sorted(path.relative_to(base).as_posix() for path in base.rglob("*.safetensors"))


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path stays in a folder after ``..`` is resolved. As in ComfyUI, symbolic links are not followed."""
    real, base = os.path.abspath(path), os.path.abspath(folder)  # noqa: PTH100 - abspath folds ".." without touching disk
    return os.path.commonpath((real, base)) == base


def choose_save_target(prefix: str, base: Path, width: int = 0, height: int = 0) -> SaveTarget:
    """Return folder, stem and next free counter for a ``filename_prefix``. Creates the folder.

    The counter is one more than the largest one in the folder. A prefix with ``%batch_num%`` never matches the files
    that it wrote, so its counter stays at 1 and later runs overwrite earlier files, as in ComfyUI 0.3 and 0.33.

    Raises:
        Exception: the prefix leaves ``base``. ComfyUI raises this bare type.
    """
    expanded = _expand_placeholders(prefix, width, height) if "%" in prefix else prefix
    normal = os.path.normpath(expanded)
    subfolder, stem = os.path.dirname(normal), os.path.basename(normal)  # noqa: PTH119, PTH120 - string rules, not paths
    folder = base / subfolder
    if not is_inside(folder, base):
        message = (
            "**** ERROR: Saving image outside the output folder is not allowed."
            f"\n full_output_folder: {os.path.abspath(folder)}"  # noqa: PTH100 - as above
            f"\n         output_dir: {base}\n         commonpath: {os.path.commonpath((folder.absolute(), base))}"
        )
        raise Exception(message)  # noqa: TRY002 - the type is part of the contract
    folder.mkdir(parents=True, exist_ok=True)
    is_plain = os.path.basename(expanded) == stem  # noqa: PTH119 - as above; "a/" never finds what it wrote
    return SaveTarget(folder, stem, _find_next_counter(folder, stem) if is_plain else 1, subfolder)


def _expand_placeholders(text: str, width: int, height: int) -> str:
    now = time.localtime()
    values = {
        "width": str(width),
        "height": str(height),
        "year": str(now.tm_year),
        "month": f"{now.tm_mon:02}",
        "day": f"{now.tm_mday:02}",
        "hour": f"{now.tm_hour:02}",
        "minute": f"{now.tm_min:02}",
        "second": f"{now.tm_sec:02}",
    }
    for name, value in values.items():
        text = text.replace(f"%{name}%", value)
    return text


def _find_next_counter(folder: Path, stem: str) -> int:
    start = f"{stem}_"
    with os.scandir(folder) as entries:
        tails = [entry.name[len(start) :] for entry in entries if entry.name.startswith(start)]
    return max((_parse_leading_number(tail) for tail in tails), default=0) + 1


def _parse_leading_number(tail: str) -> int:
    digits = tail.split("_", 1)[0].split(".", 1)[0]
    return int(digits) if digits.isdigit() else 0
