"""Encodes requested file name prefixes for the node, and decodes the file names that it reports.

A node gets a prefix that every file system can store and ``/view`` returns: "..", colons and line breaks become ``~``
and a code, and a long name is cut. The node itself appends counter and extension, and replaces placeholders such as
``%width%``.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from executor.domain.constant_text import ConstantTexts
from executor.domain.node_text import MAX_FILE_NAME, format_file_name

DEFAULT_PREFIX = "ComfyUI"
MAX_NAME_BYTES = 180  # bytes of a prefix; a file name has 255, and nodes append counter and extension
MAX_FOLDER_BYTES = 60
MAX_FOLDERS = 8

_SHORT_ENOUGH = MAX_NAME_BYTES // 4  # characters, each at most four bytes
_MAX_PART_LENGTH = 1_000  # characters of a name that are processed
_CUT = "~~"  # replaces the rest of a long name
_BATCH_NUMBER, _BATCH_CODE = "%batch_num%", "~n"
_SEPARATOR = re.compile(r"[/\\]")
_CODED = re.compile(r'[\x00-\x1f\x7f<>:"|?*~]|^[. ]|[. ]$|(?<=\.)\.|\.(?=\.)')
_SURROGATE = re.compile("[\ud800-\udfff]")
_CODE = re.compile("~([0-7][0-9a-f])")
_UNIT = re.compile("~[0-7][0-9a-f]|~n|.", re.DOTALL)
_TOKEN = re.compile("(%(?:width|height|year|month|day|hour|minute|second)%)")
_COUNTER = re.compile(r"_(\d{1,18})(?:_|\.|$)")


class _ShortenedName(NamedTuple):
    """A shortened name: the beginning that the node received, and the requested rest."""

    beginning: re.Pattern[str]
    rest: str


def encode_prefix(requested: str) -> str:
    """Encode a prefix for the node: relative, without ``..``, with the requested sub-folders.

    As in ComfyUI, ``a//b/../c`` is ``a/c``. A prefix cannot leave its folder; an empty name becomes ComfyUI's default.
    """
    *folders, name = _split_path(requested)
    return "/".join(
        [
            *(_split_at_bytes(_encode_characters(folder), MAX_FOLDER_BYTES)[0] for folder in folders),
            _encode_and_cut(name),
        ]
    )


def encode_file_name(requested: str) -> str:
    """Encode the last path component of an output prefix. Used when a separate input gives the folder."""
    return _encode_and_cut(_split_path(requested)[-1])


def encode_name_part(requested: str) -> str:
    """Encode a text that the node inserts into a file name, such as a suffix or delimiter."""
    inner = _encode_characters(f"x{_SEPARATOR.sub('_', requested)}x")[1:-1]
    return _split_at_bytes(inner, MAX_FOLDER_BYTES)[0]


class OutputNameTranslator:
    """Translates file names in the attempt's folder back to the requested names.

    Args:
        graph: graph as submitted. Any of its long texts may be a name that was cut.
        folder: the attempt's folder in the node's output folder.
    """

    def __init__(self, graph: Mapping[str, Any], folder: str) -> None:
        self._folder = folder
        shortened = map(_shorten_text, _list_long_texts(graph))
        self._shortened_names = [name for name in shortened if name is not None]

    def translate(self, filename: str, subfolder: str) -> str:
        """Return the file name that the owner requested."""
        if not f"{subfolder}/".replace("\\", "/").startswith(f"{self._folder}/"):
            return format_file_name(filename)
        head, cut, tail = filename.partition(_CUT)
        if cut:
            rest = next((name.rest for name in self._shortened_names if name.beginning.fullmatch(head)), "")
            head = f"{head}{rest}"
        return format_file_name(_decode_characters(head + tail))


def _list_long_texts(graph: Mapping[str, Any]) -> Iterator[str]:
    texts = ConstantTexts(graph)
    for node in graph.values():
        for value in node["inputs"].values():
            text = texts.evaluate(value)
            if text is not None and len(text) > _SHORT_ENOUGH:
                yield text


def _split_path(requested: str) -> list[str]:
    parts: list[str] = []
    for part in _SEPARATOR.split(_SURROGATE.sub("_", requested)):
        if part == "..":
            del parts[-1:]
        elif part not in {"", "."}:
            parts.append(part[:_MAX_PART_LENGTH])
    return parts[-MAX_FOLDERS - 1 :] or [DEFAULT_PREFIX]


def _encode_characters(part: str) -> str:
    """Encode a name for every file system and ``/view``. ``%batch_num%`` would make ComfyUI overwrite its files."""
    pieces = part.split(_BATCH_NUMBER)
    return _BATCH_CODE.join(_CODED.sub(lambda found: f"~{ord(found[0]):02x}", piece) for piece in pieces)


def _split_at_bytes(encoded: str, max_bytes: int) -> tuple[str, str]:
    """Return the beginning with at most that many bytes, and the rest."""
    if len(encoded.encode()) <= max_bytes:
        return encoded, ""
    size = position = 0
    for unit in _UNIT.finditer(encoded):
        size += len(unit[0].encode())
        if size > max_bytes:
            break
        position = unit.end()
    return encoded[:position], encoded[position:]


def _encode_and_cut(part: str) -> str:
    beginning, rest = _split_at_bytes(_encode_characters(part), MAX_NAME_BYTES)
    return f"{beginning}{_CUT}" if rest else beginning


def _shorten_text(text: str) -> _ShortenedName | None:
    beginning, rest = _split_at_bytes(_encode_characters(_split_path(text)[-1]), MAX_NAME_BYTES)
    if not rest:
        return None
    pattern = "".join(r"\d+" if _TOKEN.fullmatch(piece) else re.escape(piece) for piece in _TOKEN.split(beginning))
    return _ShortenedName(re.compile(pattern), rest[: 4 * MAX_FILE_NAME])


def _decode_characters(encoded: str) -> str:
    counter = _COUNTER.findall(encoded)
    number = str(int(counter[-1]) - 1) if counter else ""
    return _CODE.sub(lambda code: chr(int(code[1], 16)), encoded.replace(_BATCH_CODE, number))
