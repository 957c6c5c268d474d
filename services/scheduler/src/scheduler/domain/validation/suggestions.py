"""Finds the names most similar to a name that does not exist."""

import re
from collections.abc import Sequence
from heapq import nsmallest
from math import ceil

from contracts.catalog import Scalar

MAX_NAMES = 20_000  # further candidates are ignored
MAX_COMPARED = 30  # names with the most letter pairs in common, which are then compared in full
MAX_SIMILAR = 10
MAX_LENGTH = 200  # characters; longer names are not compared
MAX_LETTER_PAIRS = 40  # of the given name that are looked for in every candidate; of a longer name some are skipped
MIN_SIMILARITY = 0.55  # of 1.0; less similar names are different names, not misspellings

_SEPARATORS = re.compile(r"[/\\]+")
_SUFFIX = re.compile(r"(?<=.)\.[a-z]{2,12}$")


def find_similar_names(name: str, candidates: Sequence[Scalar]) -> tuple[str, ...]:
    """Find the most similar names, best first, at most ``MAX_SIMILAR``.

    Case, folders and the kind of separator matter less: ``detail.pt`` finds ``zz/detail.pt`` first. Takes milliseconds
    for thousands of names. Both sides may be untrusted: the number of steps depends on the number and the length of the
    names only, not on their characters.
    """
    wanted = _normalize_name(name) if len(name) <= MAX_LENGTH else ""
    if not wanted:
        return ()
    letter_pairs = _list_letter_pairs(wanted.rpartition("/")[2])
    texts = [text for text in candidates[:MAX_NAMES] if isinstance(text, str) and len(text) <= MAX_LENGTH]
    lowered = zip(texts, map(str.lower, texts), strict=True)
    rated = ((-sum(pair in lower for pair in letter_pairs), text) for text, lower in lowered)
    closest = nsmallest(MAX_COMPARED, ((shared, text) for shared, text in rated if shared))
    scored = sorted((-_compute_similarity(wanted, _normalize_name(text)), text) for _, text in closest)
    return tuple(text for score, text in scored if -score >= MIN_SIMILARITY)[:MAX_SIMILAR]


def _list_letter_pairs(text: str) -> tuple[str, ...]:
    """List the distinct pairs of neighbouring letters: all, or at most ``MAX_LETTER_PAIRS`` from the whole text."""
    pairs = tuple(dict.fromkeys(text[index : index + 2] for index in range(len(text) - 1)))
    return pairs[:: max(1, ceil(len(pairs) / MAX_LETTER_PAIRS))]


def _normalize_name(name: str) -> str:
    """Normalize a name: lower case, ``/`` as separator, no file suffix, because most suffixes are equal."""
    return _SUFFIX.sub("", _SEPARATORS.sub("/", name).lower())


def _compute_similarity(wanted: str, name: str) -> float:
    """Compute a similarity from 0 to 2. Above 1: the last path components are equal, only folders differ."""
    whole = _compare_letters(wanted, name)
    last_wanted, last = wanted.rpartition("/")[2], name.rpartition("/")[2]
    if last == last_wanted:
        return 1 + whole
    if (last_wanted, last) == (wanted, name):
        return whole
    return max(whole, _compare_letters(last_wanted, last))


def _compare_letters(first: str, second: str) -> float:
    """Return the share of the letters of two texts that are in their longest common subsequence, from 0 to 1.

    Takes one step per letter, while difflib takes up to the third power (Hyyro, Bit-parallel LCS-length computation
    revisited, 2004): each bit of an integer stands for one letter of the first text.
    """
    if not first or not second:
        return 0.0
    positions: dict[str, int] = {}
    for index, letter in enumerate(first):
        positions[letter] = positions.get(letter, 0) | 1 << index
    every = (1 << len(first)) - 1
    unmatched = every
    for letter in second:
        found = unmatched & positions.get(letter, 0)
        unmatched = (unmatched + found | unmatched - found) & every
    return 2 * (len(first) - unmatched.bit_count()) / (len(first) + len(second))
