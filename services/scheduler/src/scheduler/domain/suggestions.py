"""Names that somebody may have meant."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from difflib import get_close_matches

MAX_SUGGESTIONS = 5
CANDIDATES = 30  # compared letter by letter; those with the most pieces in common


class NameIndex:
    """Finds similar names among thousands in a fraction of a millisecond."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names: dict[str, list[str]] = defaultdict(list)
        for name in names:
            for piece in _pieces(name):
                self._names[piece].append(name)

    def similar(self, name: str) -> tuple[str, ...]:
        """Up to ``MAX_SUGGESTIONS`` names, the closest first."""
        common = Counter(found for piece in _pieces(name) for found in self._names.get(piece, ()))
        candidates = [found for found, _ in common.most_common(CANDIDATES)]
        return tuple(get_close_matches(name, candidates, n=MAX_SUGGESTIONS))


def _pieces(name: str) -> set[str]:
    """Every three letters in a row, in lower case; begin and end count as letters."""
    text = f"\n{name.lower()}\n"
    return {text[at : at + 3] for at in range(len(text) - 2)}
