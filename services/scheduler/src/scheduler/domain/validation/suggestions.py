"""Finds the names most similar to a name that does not exist."""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from heapq import nsmallest

from contracts.catalog import Scalar

MAX_NAMES = 20_000  # further candidates are ignored
MAX_COMPARED = 30  # names with the most letter pairs in common, which are then compared in full
MAX_SIMILAR = 10
MAX_LENGTH = 200  # characters
MIN_SIMILARITY = 0.5  # of 1.0; less similar names are different names, not misspellings

_SEPARATORS = re.compile(r"[/\\]+")
_SUFFIX = re.compile(r"(?<=.)\.[a-z]{2,12}$")


def find_similar_names(name: str, candidates: Sequence[Scalar]) -> tuple[str, ...]:
    """Find the most similar names, best first, at most ``MAX_SIMILAR``.

    Case, folders and the kind of separator matter less: ``detail.pt`` finds ``zz/detail.pt`` first. Takes milliseconds
    for thousands of names.
    """
    wanted = _normalize_name(name)
    if not wanted or len(wanted) > MAX_LENGTH:
        return ()
    letter_pairs = {wanted[index : index + 2] for index in range(wanted.rfind("/") + 1, len(wanted) - 1)}
    texts = [text for text in candidates[:MAX_NAMES] if isinstance(text, str) and len(text) <= MAX_LENGTH]
    lowered = zip(texts, map(str.lower, texts), strict=True)
    rated = ((-sum(pair in lower for pair in letter_pairs), text) for text, lower in lowered)
    closest = nsmallest(MAX_COMPARED, ((shared, text) for shared, text in rated if shared))
    scored = sorted((-_compute_similarity(wanted, _normalize_name(text)), text) for _, text in closest)
    return tuple(text for score, text in scored if -score >= MIN_SIMILARITY)[:MAX_SIMILAR]


def sort_similar_first(name: str, candidates: Sequence[Scalar]) -> tuple[Scalar, ...]:
    """Return all candidates, those most similar to the name first."""
    return tuple(dict.fromkeys((*find_similar_names(name, candidates), *candidates)))


def _normalize_name(name: str) -> str:
    """Normalize a name: lower case, ``/`` as separator, no file suffix, because most suffixes are equal."""
    return _SUFFIX.sub("", _SEPARATORS.sub("/", name).lower())


def _compute_similarity(wanted: str, name: str) -> float:
    """Compute a similarity from 0 to 2. Above 1: the last path components are equal, only folders differ."""
    whole = SequenceMatcher(None, wanted, name).ratio()
    last_wanted, last = wanted.rsplit("/", 1)[-1], name.rsplit("/", 1)[-1]
    if last == last_wanted:
        return 1 + whole
    return max(whole, SequenceMatcher(None, last_wanted, last).ratio())
