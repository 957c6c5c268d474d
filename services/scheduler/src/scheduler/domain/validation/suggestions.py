"""The nearest names to one that is not there."""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from heapq import nsmallest

from contracts.catalog import Scalar

MAX_NAMES = 20_000  # that are looked at; a folder of so many models is sorted by nobody
MAX_COMPARED = 30  # that share the most with what was sought, and so are compared letter by letter
MAX_NEAREST = 10
MAX_LENGTH = 200  # characters
LIKELY = 0.5  # of 1.0; below it a name is another, not a misspelt one

_SEPARATORS = re.compile(r"[/\\]+")
_SUFFIX = re.compile(r"(?<=.)\.[a-z]{2,12}$")


def nearest(sought: str, names: Sequence[Scalar]) -> tuple[str, ...]:
    """The names most like the one that was sought, best first, at most ``MAX_NEAREST``.

    Case, folders and the kind of separator count for less than the rest: ``detail.pt`` finds ``zz/detail.pt`` first.
    Takes milliseconds for thousands of names.
    """
    wanted = _normal(sought)
    if not wanted or len(wanted) > MAX_LENGTH:
        return ()
    pairs = {wanted[place : place + 2] for place in range(wanted.rfind("/") + 1, len(wanted) - 1)}
    texts = [name for name in names[:MAX_NAMES] if isinstance(name, str) and len(name) <= MAX_LENGTH]
    lowered = zip(texts, map(str.lower, texts), strict=True)
    shared = ((-sum(pair in lower for pair in pairs), name) for name, lower in lowered)
    closest = nsmallest(MAX_COMPARED, (one for one in shared if one[0]))
    scored = sorted((-_likeness(wanted, _normal(name)), name) for _, name in closest)
    return tuple(name for score, name in scored if -score >= LIKELY)[:MAX_NEAREST]


def nearest_first(sought: str, names: Sequence[Scalar]) -> tuple[Scalar, ...]:
    """All the names, those first that are most like the one that was sought."""
    return tuple(dict.fromkeys((*nearest(sought, names), *names)))


def _normal(name: str) -> str:
    """Without what says nothing: most names in a list of files end alike."""
    return _SUFFIX.sub("", _SEPARATORS.sub("/", name).lower())


def _likeness(wanted: str, name: str) -> float:
    """From 0 to 2: of the whole names, and of their last parts where a folder was left out or added."""
    whole = SequenceMatcher(None, wanted, name).ratio()
    last_wanted, last = wanted.rsplit("/", 1)[-1], name.rsplit("/", 1)[-1]
    if last == last_wanted:
        return 1 + whole
    return max(whole, SequenceMatcher(None, last_wanted, last).ratio())
