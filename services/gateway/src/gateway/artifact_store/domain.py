"""Decides whether an artifact store and a database belong together, and how many orphans may be deleted."""

import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

CONFIRM_INTERVAL = timedelta(minutes=15)
"""How often the current time is written to the database and then to the marker, as the time of the last agreement."""
RESTORED_IF_OLDER_BY = 2 * CONFIRM_INTERVAL
"""A database whose time is so much older than the marker's was restored. A failover can lose one update."""
MIN_DELETION_LIMIT, OBJECTS_PER_DELETION = (
    100,
    100,
)  # one sweep deletes at most 100 objects, or 1 % of all if that is more

_ID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_OBJECT = re.compile(rf"{_ID}/(?:uploads|{_ID}/\d+)/({_ID})(?:#\d+)?")
_ADVICE = (
    "Check GATEWAY_DATABASE_URL and GATEWAY_ARTIFACTS_URL. If exactly this pair is intended, such as after a restore, "
    "run: python -m gateway adopt-store"
)


@dataclass(frozen=True, slots=True)
class StoreIdentity:
    """The id that a store and its database share, and when they last agreed (the database's clock)."""

    store_id: UUID
    confirmed_at: datetime


class Finding(StrEnum):
    """What a comparison of a store with a database found."""

    PAIRED = "paired"
    PAIRABLE = "pairable"  # neither is paired with another one: pair them
    OTHER_STORE = "other_store"
    DATABASE_OLDER = "database_older"
    DATABASE_EMPTY = "database_empty"
    MARKER_MISSING = "marker_missing"
    MARKER_DAMAGED = "marker_damaged"
    UNRELATED = "unrelated"


@dataclass(frozen=True, slots=True)
class PairingFacts:
    """What was found in the database and the store.

    Attributes:
        recorded: the identity in the database.
        marker: the identity in the store; None if it has no marker, or a damaged one.
        is_marker_damaged: the store has a marker that cannot be read.
        has_records, has_objects: whether there are files according to the database, and in the store. Read only where
            one of the identities is missing.
        records_match: whether the store has the files that the database recorded last.
    """

    recorded: StoreIdentity | None
    marker: StoreIdentity | None
    is_marker_damaged: bool = False
    has_records: bool = False
    has_objects: bool = False
    records_match: bool = False


def decide_pairing(facts: PairingFacts) -> Finding:
    """Decide whether the store is paired with the database."""
    if facts.is_marker_damaged:
        return Finding.MARKER_DAMAGED
    if facts.recorded and facts.marker:
        return _compare_identities(facts.recorded, facts.marker)
    if facts.recorded:
        return Finding.MARKER_MISSING
    if not facts.has_records:
        return Finding.DATABASE_EMPTY if facts.has_objects else Finding.PAIRABLE
    if facts.marker:
        return Finding.DATABASE_OLDER
    return Finding.PAIRABLE if facts.records_match else Finding.UNRELATED  # a release without identities wrote both


def _compare_identities(recorded: StoreIdentity, marker: StoreIdentity) -> Finding:
    if recorded.store_id != marker.store_id:
        return Finding.OTHER_STORE
    return (
        Finding.DATABASE_OLDER
        if marker.confirmed_at - recorded.confirmed_at >= RESTORED_IF_OLDER_BY
        else Finding.PAIRED
    )


REASON_BY_FINDING = {
    Finding.OTHER_STORE: f"The artifact store belongs to another database: their store ids differ. {_ADVICE}",
    Finding.DATABASE_OLDER: "The database is older than the artifact store, as after a restore from a backup: files "
    f"written since have no record. {_ADVICE}",
    Finding.DATABASE_EMPTY: f"The artifact store has files, but the database has no records. {_ADVICE}",
    Finding.MARKER_MISSING: "The artifact store has no marker (.comfyfleet/store.json), but the database belongs to a "
    f"store. Perhaps a volume is not mounted. {_ADVICE}",
    Finding.MARKER_DAMAGED: f"The marker of the artifact store (.comfyfleet/store.json) cannot be read. {_ADVICE}",
    Finding.UNRELATED: f"The artifact store lacks the files that the database recorded last. {_ADVICE}",
}
"""The reason why a store and a database do not belong together, and what to do."""


def parse_marker(content: bytes) -> StoreIdentity | None:
    """Return the identity in a marker; None if it is damaged."""
    try:
        value = json.loads(content)
        confirmed_at = datetime.fromisoformat(value["confirmed_at"])
        identity = StoreIdentity(UUID(value["store_id"]), confirmed_at)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return identity if confirmed_at.tzinfo else None


def format_marker(identity: StoreIdentity) -> bytes:
    """Return the content of a marker."""
    value = {"store_id": str(identity.store_id), "confirmed_at": identity.confirmed_at.isoformat()}
    return json.dumps(value).encode()


def parse_object_id(key: str) -> UUID | None:
    """Return the id of the upload or output of an object; None for other objects, which are never deleted."""
    match = _OBJECT.fullmatch(key)
    return UUID(match[1]) if match else None


def compute_deletion_limit(objects: int) -> int:
    """Return how many orphans a sweep may delete without an admin's confirmation."""
    return max(MIN_DELETION_LIMIT, objects // OBJECTS_PER_DELETION)
