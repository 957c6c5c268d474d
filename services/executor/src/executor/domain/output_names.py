"""Names of output files: what the sender asked for, what the node gets, and what the sender reads.

A node gets a prefix that any file system stores and that ``/view`` gives out again: two dots in a row, a colon or a
line end are written as ``~`` and a code, and a long name is cut. The name of the file that the node then reports is
turned back. So the node chooses counter, extension and the values of ``%width%`` and its kind, as it does for anybody.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from executor.domain.constant_text import ConstantTexts
from executor.domain.node_text import MAX_FILE_NAME, shown_file_name

DEFAULT_PREFIX = "ComfyUI"
MAX_NAME_BYTES = 180  # of a prefix as the node gets it; a file name has 255, and nodes append counter and extension
MAX_FOLDER_BYTES = 60
MAX_FOLDERS = 8

_SURELY_SHORT = MAX_NAME_BYTES // 4  # characters: none has more than four bytes, coded or not
_LONGEST_PART = 1_000  # characters of a name that are looked at
_CUT = "~~"  # stands where the rest of a long name was
_BATCH_NUMBER, _BATCH_CODE = "%batch_num%", "~n"
_SEPARATOR = re.compile(r"[/\\]")
_CODED = re.compile(r'[\x00-\x1f\x7f<>:"|?*~]|^[. ]|[. ]$|(?<=\.)\.|\.(?=\.)')
_SURROGATE = re.compile("[\ud800-\udfff]")
_CODE = re.compile("~([0-7][0-9a-f])")
_UNIT = re.compile("~[0-7][0-9a-f]|~n|.", re.DOTALL)
_TOKEN = re.compile("(%(?:width|height|year|month|day|hour|minute|second)%)")
_COUNTER = re.compile(r"_(\d{1,18})(?:_|\.|$)")


class _Cut(NamedTuple):
    """A name that was cut: what the node may have made of its beginning, and the rest as it was asked for."""

    beginning: re.Pattern[str]
    rest: str


def prefix_for_node(asked: str) -> str:
    """A prefix as the node gets it: relative, without ``..``, sub-folders as they were asked for.

    ComfyUI's own rule: ``a//b/../c`` is ``a/c``. What would leave the folder does not; a name of nothing is ComfyUI's.
    """
    *folders, name = _parts(asked)
    return "/".join([*(_cut(_coded(folder), MAX_FOLDER_BYTES)[0] for folder in folders), _name(name)])


def name_for_node(asked: str) -> str:
    """The last part of a prefix as the node gets it: a file name where another input names the folder."""
    return _name(_parts(asked)[-1])


def part_for_node(asked: str) -> str:
    """A text that the node puts into a file name: a suffix, a delimiter."""
    inner = _coded(f"x{_SEPARATOR.sub('_', asked)}x")[1:-1]
    return _cut(inner, MAX_FOLDER_BYTES)[0]


class OutputNames:
    """Turns the names of files in the folder of an attempt back into what was asked for.

    Args:
        graph: as it was sent. Any of its texts may be a name; only long ones are remembered.
        folder: of the attempt.
    """

    def __init__(self, graph: Mapping[str, Any], folder: str) -> None:
        self._folder = folder
        self._cut = [cut for text in _long_texts(graph) if (cut := _as_cut(text)) is not None]

    def shown(self, filename: str, subfolder: str) -> str:
        """The file name that the owner asked for."""
        if not f"{subfolder}/".replace("\\", "/").startswith(f"{self._folder}/"):
            return shown_file_name(filename)
        head, cut, tail = filename.partition(_CUT)
        if cut:
            rest = next((one.rest for one in self._cut if one.beginning.fullmatch(head)), "")
            head = f"{head}{rest}"
        return shown_file_name(_decoded(head + tail))


def _long_texts(graph: Mapping[str, Any]) -> Iterator[str]:
    texts = ConstantTexts(graph)
    for node in graph.values():
        for value in node["inputs"].values():
            text = texts.of(value)
            if text is not None and len(text) > _SURELY_SHORT:
                yield text


def _parts(asked: str) -> list[str]:
    parts: list[str] = []
    for part in _SEPARATOR.split(_SURROGATE.sub("_", asked)):
        if part == "..":
            del parts[-1:]
        elif part not in {"", "."}:
            parts.append(part[:_LONGEST_PART])
    return parts[-MAX_FOLDERS - 1 :] or [DEFAULT_PREFIX]


def _coded(part: str) -> str:
    """Written so that every file system and ``/view`` take it. ``%batch_num%`` makes ComfyUI overwrite its files."""
    pieces = part.split(_BATCH_NUMBER)
    return _BATCH_CODE.join(_CODED.sub(lambda found: f"~{ord(found[0]):02x}", piece) for piece in pieces)


def _cut(coded: str, longest: int) -> tuple[str, str]:
    """The beginning that has at most so many bytes, and the rest."""
    if len(coded.encode()) <= longest:
        return coded, ""
    size = at = 0
    for unit in _UNIT.finditer(coded):
        size += len(unit[0].encode())
        if size > longest:
            break
        at = unit.end()
    return coded[:at], coded[at:]


def _name(part: str) -> str:
    beginning, rest = _cut(_coded(part), MAX_NAME_BYTES)
    return f"{beginning}{_CUT}" if rest else beginning


def _as_cut(text: str) -> _Cut | None:
    beginning, rest = _cut(_coded(_parts(text)[-1]), MAX_NAME_BYTES)
    if not rest:
        return None
    pattern = "".join(r"\d+" if _TOKEN.fullmatch(piece) else re.escape(piece) for piece in _TOKEN.split(beginning))
    return _Cut(re.compile(pattern), rest[: 4 * MAX_FILE_NAME])


def _decoded(coded: str) -> str:
    counter = _COUNTER.findall(coded)
    number = str(int(counter[-1]) - 1) if counter else ""
    return _CODE.sub(lambda code: chr(int(code[1], 16)), coded.replace(_BATCH_CODE, number))
