"""Decides whether a file that a node reports belongs to the attempt.

A node reports what its classes return, and some classes return JSON of the workflow unchanged. So a report proves
nothing: it may name a file of another tenant. A file belongs to an attempt only if it lies in the attempt's own folder,
or if the node certainly wrote it while the attempt's prompt ran.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from executor.domain.catalog import STAGING_FOLDER
from executor.domain.named_files import ModifiedTime, NodeFilePath
from executor.domain.node_text import is_addressable, is_servable

STAGED_IN = "temp"

_DRIVE = re.compile(r"[A-Za-z]:")
# /view searches another folder for "a.png [input]", and any folder for a hash.
_FOUND_ELSEWHERE = re.compile(r"blake3:|.*\[(?:input|output|temp)\]$", re.DOTALL)
_ATTEMPT_FOLDER = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/\d+(?:/|$)", re.IGNORECASE)
# Names that Windows takes for another one: short names (FOLDER~1), streams (folder:x), ignored dots and spaces.
_ALIAS = re.compile(r"~\d|:|[ .](?:/|$)")


@dataclass(frozen=True, slots=True)
class FileOwnership:
    """The files that belong to an attempt.

    Attributes:
        folder: the attempt's folder in the node's output and temporary folders. Its name is unique, and only nodes of
            this attempt write there.
        written: modification times of files elsewhere that the node certainly wrote while the prompt ran.
    """

    folder: str
    written: Mapping[NodeFilePath, ModifiedTime] = field(default_factory=dict)

    def is_own(self, path: NodeFilePath) -> bool:
        """Whether the file belongs to the attempt."""
        return path in self.written or self.is_in_folder(path)

    def is_in_folder(self, path: NodeFilePath) -> bool:
        """Whether the file is in the attempt's own folder, if it exists."""
        if _FOUND_ELSEWHERE.match(path.filename):
            return False
        subfolder = _normalize_subfolder(path.subfolder)
        return subfolder is not None and f"{subfolder}/".startswith(f"{self.folder}/")

    def may_be_written(self, path: NodeFilePath) -> bool:
        """Whether the modification time of a file outside of the attempt's folder can prove that the prompt wrote it.

        It proves nothing where others write meanwhile: the next job's uploads are staged during this prompt, and nodes
        that share an output folder write the files of other attempts. Nor does it prove anything if the operating
        system may take the subfolder's name for one of these folders. True for files in the attempt's own folder.
        """
        if _FOUND_ELSEWHERE.match(path.filename) or not is_addressable(path.filename, path.subfolder):
            return False
        subfolder = _normalize_subfolder(path.subfolder)
        if subfolder is None or not is_servable(path.filename) or is_staged(path):
            return False
        return self.is_in_folder(path) or not (_ATTEMPT_FOLDER.match(subfolder) or _may_be_alias(subfolder))


def is_staged(path: NodeFilePath) -> bool:
    """Whether the file is in the folder where executors put the uploads of jobs."""
    subfolder = _normalize_subfolder(path.subfolder) if path.folder == STAGED_IN else None
    return subfolder is not None and subfolder.split("/")[0].casefold() == STAGING_FOLDER


def _may_be_alias(subfolder: str) -> bool:
    """Whether Windows or macOS may take a normalized path for another one. HFS+ ignores invisible characters."""
    return _ALIAS.search(subfolder) is not None or any(unicodedata.category(letter) == "Cf" for letter in subfolder)


def _normalize_subfolder(subfolder: str) -> str | None:
    """Return a relative path with single slashes; None if it is absolute or may lead out of its folder.

    Windows ignores dots and spaces at the end of a name, so a name that consists of these counts as "..".
    """
    path = subfolder.replace("\\", "/")
    if path.startswith("/") or _DRIVE.match(path):
        return None
    parts = [part for part in path.split("/") if part not in {"", "."}]
    return "/".join(parts) if all(part.strip(" .") for part in parts) else None
