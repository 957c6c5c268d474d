"""The state of the artifact store: whether it is paired with the database, and whether it has space.

A background loop updates it; requests only read it. Metrics can read every attribute.
"""

from collections import Counter
from enum import StrEnum

from chassis.http.app import NotReady
from chassis.telemetry.logs import log
from contracts.gateway.transfers import StorageFull
from gateway.storage.errors import StoreMismatch

RETRY_AFTER_S = 30.0
MIN_FREE_FILES = 1000  # a file system can run out of inodes before it runs out of bytes


class StoreNotPaired(ConnectionError):
    """The artifact store is not known to be paired with the database, so nothing is deleted. Counts as unavailable."""


class Pairing(StrEnum):
    """Whether the artifact store and the database belong together."""

    UNKNOWN = "unknown"  # not checked yet, or one of them did not answer
    PAIRED = "paired"
    MISMATCHED = "mismatched"


class WriteResult(StrEnum):
    """How a write to the artifact store ended."""

    OK = "ok"
    FULL = "full"
    FAILED = "failed"


class StoreStatus:
    """The state of the artifact store.

    Args:
        min_free_bytes: with less free space, no jobs and uploads are accepted. Outputs of accepted jobs may use half of
            it.

    Attributes:
        pairing: whether the store is paired with the database.
        mismatch_reason: why it is not paired and what to do; "" if it is, or if that is unknown.
        free_bytes: None if unknown; buckets do not report it.
        free_files: free inodes; None if unknown or unlimited.
        refuses_writes: the last write failed for lack of space, and no test write has succeeded since.
        writes: ended writes by result, since the start of the process.
        orphans_deleted: deleted objects without a record, since the start of the process.
    """

    def __init__(self, *, min_free_bytes: int) -> None:
        self.min_free_bytes = min_free_bytes
        self.pairing = Pairing.UNKNOWN
        self.mismatch_reason = ""
        self.free_bytes: int | None = None
        self.free_files: int | None = None
        self.refuses_writes = False
        self.writes: Counter[WriteResult] = Counter()
        self.orphans_deleted = 0

    @property
    def shortage(self) -> str:
        """Why no jobs and uploads are accepted, "" if there is enough space."""
        return self._describe_shortage(self.min_free_bytes)

    def require_space_for_new_work(self) -> None:
        """Refuse jobs and uploads if their files could not be stored.

        Raises:
            StorageFull: too little space is left.
            StoreMismatch: the store is not paired with the database.
        """
        self._raise_if_unusable(self.shortage)

    def require_space_for_output(self, size_bytes: int) -> None:
        """Refuse an output of an accepted job, of at least this size, if it cannot be stored.

        Raises:
            StorageFull: too little space is left.
            StoreMismatch: the store is not paired with the database.
        """
        self._raise_if_unusable(self._describe_shortage(self.min_free_bytes // 2 + size_bytes))

    def require_pairing(self) -> None:
        """Refuse deletions unless the store is known to be paired with the database.

        Raises:
            StoreNotPaired: the store is not known to be paired with the database.
        """
        if self.pairing is not Pairing.PAIRED:
            raise StoreNotPaired(self.mismatch_reason or "the artifact store has not been checked yet")

    def record_write(self, result: WriteResult) -> None:
        """Count a write. A write that lacked space stops new work until a test write succeeds."""
        self.writes[result] += 1
        if result is WriteResult.FULL and not self.refuses_writes:
            self.refuses_writes = True
            log.error("gateway.store.write_lacked_space", free_bytes=self.free_bytes)

    async def probe_pairing(self) -> None:
        """Raise NotReady unless the store is paired with the database."""
        if self.pairing is not Pairing.PAIRED:
            raise NotReady(self.mismatch_reason or "The artifact store has not been compared with the database yet.")

    async def probe_space(self) -> None:
        """Raise NotReady if there is too little space for new work."""
        if self.shortage:
            raise NotReady(self.shortage)

    def _raise_if_unusable(self, shortage: str) -> None:
        if self.pairing is Pairing.MISMATCHED:
            raise StoreMismatch(retry_after_s=RETRY_AFTER_S)
        if shortage:
            raise StorageFull(retry_after_s=RETRY_AFTER_S)

    def _describe_shortage(self, needed_bytes: int) -> str:
        if self.free_bytes is not None and self.free_bytes < needed_bytes:
            return (
                f"The artifact store has {self.free_bytes} free bytes; {needed_bytes} are needed "
                "(GATEWAY_MIN_FREE_BYTES). No jobs and uploads are accepted until space is free."
            )
        if self.free_files is not None and self.free_files < MIN_FREE_FILES:
            return f"The artifact store has only {self.free_files} free inodes. No jobs and uploads are accepted."
        if self.refuses_writes:
            return "A write to the artifact store failed for lack of space. No jobs and uploads are accepted."
        return ""
