"""Errors of requests to delete orphans."""

from contracts.wire.errors import ErrorKind, Refusal


class OrphansKept(Refusal):
    """Deletion of objects without a record is switched off. First set GATEWAY_DELETE_ORPHANS=true on every gateway."""

    kind, code = ErrorKind.CONFLICT, "orphans.kept"


class OrphanCountDiffers(Refusal):
    """The last sweep found {orphans} objects without a record. Read the report again, and confirm that number."""

    kind, code = ErrorKind.CONFLICT, "orphans.count_differs"
