"""Finds models in a node's output folder, where jobs write.

ComfyUI (0.3.64 to 0.33) treats sub-folders of its output folder as model folders and lists their files beside the
installed models.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

OUTPUT_OPTION, BASE_OPTION = "--output-directory", "--base-directory"


def find_output_folders(listed: Any, argv: Any) -> dict[str, frozenset[int]]:
    """Return the indices of model folders inside the output folder, by kind of model.

    Args:
        listed: response of ``/experiment/models``.
        argv: the node's command line, from ``/system_stats``.
    """
    suffixes = tuple(_list_output_path_suffixes(argv))
    found: dict[str, frozenset[int]] = {}
    for kind, folders in _list_folders(listed):
        inside = frozenset(
            index for index, folder in enumerate(folders) if _find_parent_folder(folder).endswith(suffixes)
        )
        if inside:
            found[kind] = inside
    return found


def find_written_models(files: Mapping[str, Any], folders: Mapping[str, frozenset[int]]) -> frozenset[str]:
    """Return names of models that exist only in the output folder.

    Args:
        files: responses of ``/experiment/models/{kind}`` by kind.
        folders: result of ``find_output_folders``.
    """
    written: set[str] = set()
    installed: set[str] = set()
    for kind, listed in files.items():
        for file in listed if isinstance(listed, list) else ():
            if isinstance(file, Mapping) and isinstance(name := file.get("name"), str):
                inside = file.get("pathIndex") in folders.get(kind, frozenset())
                (written if inside else installed).add(name)
    return frozenset(written - installed)


def _list_output_path_suffixes(argv: Any) -> Iterator[str]:
    """Yield the path suffixes by which a model folder inside the output folder is recognized."""
    given = [str(word) for word in argv] if isinstance(argv, list) else []
    chosen = _find_command_line_option(given, OUTPUT_OPTION)
    if chosen is not None:
        yield "/" + _normalize_path(chosen).lstrip("/")
        return
    base = _find_command_line_option(given, BASE_OPTION)
    yield f"/{_normalize_path(base).lstrip('/')}/output" if base is not None else "/output"


def _find_command_line_option(argv: Sequence[str], name: str) -> str | None:
    for index, word in enumerate(argv):
        if word == name and index + 1 < len(argv):
            return argv[index + 1]
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return None


def _list_folders(listed: Any) -> Iterator[tuple[str, list[str]]]:
    for entry in listed if isinstance(listed, list) else ():
        match entry:
            case {"name": str(kind), "folders": list(folders)}:
                yield kind, [str(folder) for folder in folders]
            case _:
                continue


def _find_parent_folder(folder: str) -> str:
    return "/" + _normalize_path(folder).rpartition("/")[0].lstrip("/")


def _normalize_path(path: str) -> str:
    """Return a normalized path with forward slashes."""
    parts = [part for part in path.replace("\\", "/").split("/") if part not in {"", "."}]
    while parts and parts[0] == "..":
        parts.pop(0)
    return "/".join(parts)
