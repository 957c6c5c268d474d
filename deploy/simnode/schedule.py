"""The order in which the nodes of a prompt run: ready output nodes first, then those closest to an output."""

from collections.abc import Callable, Iterable


class Schedule:
    """The nodes that outputs still depend on. Cached nodes are excluded unless they are outputs.

    Ties are broken by the order of discovery; ComfyUI does not define it.
    """

    def __init__(
        self,
        outputs: Iterable[str],
        *,
        find_inputs: Callable[[str], list[str]],
        is_cached: Callable[[str], bool],
    ) -> None:
        self._outputs = set(outputs)
        self._needs: dict[str, set[str]] = {}
        stack = list(reversed(list(outputs)))
        while stack:
            node_id = stack.pop()
            if node_id in self._needs:
                continue
            missing = [] if is_cached(node_id) else [source for source in find_inputs(node_id) if not is_cached(source)]
            self._needs[node_id] = set(missing)
            stack.extend(missing)

    def __bool__(self) -> bool:
        return bool(self._needs)

    def choose_next(self) -> str:
        """Return the next node to run. Pass it to :meth:`mark_done` before the next call."""
        ready = [node_id for node_id, needs in self._needs.items() if not needs]
        return min(ready, key=self._compute_distance_to_output)

    def mark_done(self, node_id: str) -> None:
        """Record that a node has its result, which can make dependent nodes ready."""
        del self._needs[node_id]
        for needs in self._needs.values():
            needs.discard(node_id)

    def _compute_distance_to_output(self, node_id: str) -> int:
        if node_id in self._outputs:
            return 0
        blocked = self._list_blocked_nodes(node_id)
        if blocked & self._outputs:
            return 1
        return 2 if any(self._list_blocked_nodes(next_id) & self._outputs for next_id in blocked) else 3

    def _list_blocked_nodes(self, node_id: str) -> set[str]:
        return {other for other, needs in self._needs.items() if node_id in needs}
