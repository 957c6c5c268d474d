"""Refusals of the deletion of orphans."""

from contracts.wire.errors import Kind, Refusal


class OrphansKept(Refusal):
    """Deletion of objects without a record is switched off. First set GATEWAY_DELETE_ORPHANS=true on every gateway."""

    kind, code = Kind.CONFLICT, "orphans.kept"


class OrphanCountDiffers(Refusal):
    """The last sweep found {orphans} objects without a record. Read the report again, and confirm that number."""

    kind, code = Kind.CONFLICT, "orphans.count_differs"
