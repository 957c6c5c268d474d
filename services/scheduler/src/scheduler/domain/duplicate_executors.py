"""Detects that two executors with the same node name run at the same time."""

from uuid import UUID

MAX_EXECUTORS = 8  # remembered per node
MIN_RETURNS = 2  # one heartbeat of an executor that has stopped may arrive after the first of its successor


class DuplicateExecutorDetector:
    """Detects executors that are heard again after another one with the same node name.

    It knows only the heartbeats that this process received, but each replica receives some of both executors.
    """

    def __init__(self) -> None:
        self._returns: dict[str, dict[UUID, int]] = {}  # by node and executor, in the order in which they joined
        self._current: dict[str, UUID] = {}

    def record_heartbeat(self, node: str, boot_id: UUID) -> bool:
        """Record a heartbeat. Return whether this executor has been heard repeatedly after another one of its node."""
        if self._current.get(node) == boot_id:
            return False
        self._current[node] = boot_id
        returns = self._returns.setdefault(node, {})
        if boot_id not in returns:  # a new one, of which each earlier one may have a late heartbeat
            joined = [*returns, boot_id][-MAX_EXECUTORS:]
            self._returns[node] = dict.fromkeys(joined, 0)
            return False
        returns[boot_id] += 1
        return returns[boot_id] >= MIN_RETURNS
