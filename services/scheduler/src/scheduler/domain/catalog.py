"""What a node can run: its ``object_info``, as it reported it."""

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Iterable
from functools import cached_property

from pydantic import TypeAdapter, ValidationError

from contracts.catalog import ClassSpec, InputSpec, Scalar
from scheduler.domain.class_facts import ClassFacts, facts_of

MAX_CATALOG_BYTES = 32 << 20  # a stock node's is 0.7 MB; packs multiply it

_CLASSES = TypeAdapter(dict[str, ClassSpec])


class Catalog:
    """What one node can run."""

    def __init__(self, classes: dict[str, ClassSpec]) -> None:
        self.classes = classes
        self._facts: dict[str, ClassFacts] = {}
        self._options: dict[int, frozenset[Scalar]] = {}  # by the identity of their input, which lives as long as this

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of all classes."""
        return tuple(self.classes)

    def facts(self, class_type: str) -> ClassFacts:
        """What is known of a class that the catalog has."""
        found = self._facts.get(class_type)
        if found is None:
            found = self._facts[class_type] = facts_of(class_type, self.classes[class_type])
        return found

    def has_option(self, accepted: InputSpec, value: object) -> bool:
        """Whether an input of this catalog lists the value. Takes the same time for a list of any length."""
        if accepted.variants is not None:
            return isinstance(value, str) and value in accepted.variants
        found = self._options.get(id(accepted))
        if found is None:
            found = self._options[id(accepted)] = frozenset(accepted.options or ())
        return isinstance(value, str | int | float) and value in found

    def satisfies(self, needs: Iterable[str]) -> bool:
        """Whether the node has every class (``Class``) and option (``Class.input=option``) that a workflow needs."""
        return all(need in self.classes or self._has_choice(need) for need in needs)

    def _has_choice(self, need: str) -> bool:
        """Names of classes have dots ("EmptyAceStep1.5LatentAudio"), and so have those of dynamic inputs."""
        place, equals, value = need.partition("=")
        parts = place.split(".")
        names = ((".".join(parts[:count]), ".".join(parts[count:])) for count in range(1, len(parts)))
        return bool(equals) and any(self._has(name, field, value) for name, field in names)

    def _has(self, class_type: str, field: str, value: str) -> bool:
        spec = self.classes.get(class_type)
        if spec is None:
            return False
        accepted = spec.inputs.get(field)
        return accepted is None or accepted.options is None or self.has_option(accepted, value)


def read_catalog(digest: str, classes_zlib: str) -> Catalog | None:
    """The catalog in a report, or None where the report is broken, too large or not what its digest says."""
    try:
        inflate = zlib.decompressobj()
        body = inflate.decompress(base64.b64decode(classes_zlib, validate=True), MAX_CATALOG_BYTES)
        if not inflate.eof or hashlib.sha256(body).hexdigest() != digest:
            return None
        return Catalog(_CLASSES.validate_json(body))
    except (binascii.Error, zlib.error, ValidationError, json.JSONDecodeError):
        return None
