"""How ``./dev test`` shares all tests out among its workers."""

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]


class ByFolder(LoadScopeScheduling):  # type: ignore[misc]
    """A folder's tests run in one worker and in their order, as they share what is started for them.

    Folders go to whoever is free in the order in which the command line has them.
    """

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0].rpartition("/")[0]
