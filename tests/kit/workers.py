"""Distributes tests over workers for ``./dev test``."""

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]


class ByFolder(LoadScopeScheduling):  # type: ignore[misc]
    """Runs the tests of a folder in one worker and in order, because they share fixtures.

    Folders are assigned to free workers in the order of the command line.
    """

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0].rpartition("/")[0]
