"""Which model files of a node lie in its output folder, where jobs write.

ComfyUI (0.3.64 to 0.33) takes sub-folders of its output folder for model folders and lists what is in them beside the
models that were installed.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

OUTPUT_OPTION, BASE_OPTION = "--output-directory", "--base-directory"


def output_folders(listed: Any, argv: Any) -> dict[str, frozenset[int]]:
    """The model folders that are in the node's output folder: their indices by kind of model.

    Args:
        listed: the answer to ``/experiment/models``.
        argv: the command line of the node, from ``/system_stats``.
    """
    places = tuple(_output_places(argv))
    found: dict[str, frozenset[int]] = {}
    for kind, folders in _folders(listed):
        inside = frozenset(at for at, folder in enumerate(folders) if _parent(folder).endswith(places))
        if inside:
            found[kind] = inside
    return found


def written_models(files: Mapping[str, Any], folders: Mapping[str, frozenset[int]]) -> frozenset[str]:
    """Names of models that are in the output folder and nowhere else.

    Args:
        files: answers to ``/experiment/models/{kind}`` by kind.
        folders: what ``output_folders`` found.
    """
    written: set[str] = set()
    installed: set[str] = set()
    for kind, listed in files.items():
        for file in listed if isinstance(listed, list) else ():
            if isinstance(file, Mapping) and isinstance(name := file.get("name"), str):
                inside = file.get("pathIndex") in folders.get(kind, frozenset())
                (written if inside else installed).add(name)
    return frozenset(written - installed)


def _output_places(argv: Any) -> Iterator[str]:
    """How the path of the output folder may end."""
    given = [str(word) for word in argv] if isinstance(argv, list) else []
    chosen = _option(given, OUTPUT_OPTION)
    if chosen is not None:
        yield "/" + _plain(chosen).lstrip("/")
        return
    base = _option(given, BASE_OPTION)
    yield f"/{_plain(base).lstrip('/')}/output" if base is not None else "/output"


def _option(argv: Sequence[str], name: str) -> str | None:
    for at, word in enumerate(argv):
        if word == name and at + 1 < len(argv):
            return argv[at + 1]
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return None


def _folders(listed: Any) -> Iterator[tuple[str, list[str]]]:
    for entry in listed if isinstance(listed, list) else ():
        match entry:
            case {"name": str(kind), "folders": list(folders)}:
                yield kind, [str(folder) for folder in folders]
            case _:
                continue


def _parent(folder: str) -> str:
    return "/" + _plain(folder).rpartition("/")[0].lstrip("/")


def _plain(path: str) -> str:
    """A path with slashes, without parts that mean nothing."""
    parts = [part for part in path.replace("\\", "/").split("/") if part not in {"", "."}]
    while parts and parts[0] == "..":
        parts.pop(0)
    return "/".join(parts)
