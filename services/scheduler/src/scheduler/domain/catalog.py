"""What a node can run: its ``object_info``, as it reported it."""

import base64
import binascii
import hashlib
import json
import re
import zlib
from collections.abc import Container, Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

from pydantic import ValidationError

from contracts.catalog import ClassSpec, InputSpec, Scalar
from contracts.graph_policy.decision import GraphRules
from contracts.workflow import is_model
from scheduler.domain.class_facts import ClassFacts, facts_of

MAX_CATALOG_BYTES = 32 << 20  # a stock node's is 0.7 MB; packs multiply it

_SPACE = re.compile(r"[ \t\n\r]*")
_JSON = json.JSONDecoder()


class Option(NamedTuple):
    """An option that an input of a class must list."""

    node_class: str
    input: str
    value: str


class Lacking(NamedTuple):
    """What a node does not have of what a workflow needs: classes, and options of classes that it has."""

    classes: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()


class Catalog:
    """What one node can run.

    Attributes:
        rules: what the policies of tenants mean for its classes.
    """

    def __init__(self, classes: dict[str, ClassSpec]) -> None:
        self.classes = classes
        self.rules = GraphRules(classes)
        self._facts: dict[str, ClassFacts] = {}
        self._options: dict[int, frozenset[Scalar]] = {}  # by the identity of their input, which lives as long as this

    @cached_property
    def models(self) -> dict[str, tuple[str, ...]]:
        """The model files that it has, by loader input: ``Class.input``."""
        return {
            f"{name}.{field}": models
            for name, spec in self.classes.items()
            for field, accepted in spec.inputs.items()
            if (models := tuple(option for option in accepted.options or () if is_model(option)))
        }

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

    def lacks(self, needs: Sequence[str]) -> Lacking:
        """What a workflow needs and the node does not have. Options of a class that is missing are not named.

        Args:
            needs: all of one workflow: with each option also its class.
        """
        missing = [need for need in needs if not self.satisfies([need])]
        known = {*needs, *self.classes}
        options = {need: option for need in missing if (option := _option_of(need, known)) is not None}
        return Lacking(
            classes=tuple(need for need in missing if need not in options),
            options=tuple(option for option in options.values() if option.node_class in self.classes),
        )

    def _has_choice(self, need: str) -> bool:
        option = _option_of(need, self.classes)
        if option is None:
            return False
        accepted = self.classes[option.node_class].inputs.get(option.input)
        return accepted is None or accepted.options is None or self.has_option(accepted, option.value)


def _option_of(need: str, classes: Container[str]) -> Option | None:
    """What ``Class.input=option`` means, where it is of one of these classes.

    Names of classes have dots ("EmptyAceStep1.5LatentAudio") and may have other marks, and names of dynamic inputs have
    dots, too: the longest name of a class counts.
    """
    end = need.rfind(".")
    while end > 0:
        field, equals, value = need[end + 1 :].partition("=")
        if equals and need[:end] in classes:
            return Option(need[:end], field, value)
        end = need.rfind(".", 0, end)
    return None


def read_catalog(digest: str, classes_zlib: str) -> Catalog | None:
    """The catalog in a report, or None where the report is broken, too large or not what its digest says."""
    try:
        inflate = zlib.decompressobj()
        body = inflate.decompress(base64.b64decode(classes_zlib, validate=True), MAX_CATALOG_BYTES)
        if not inflate.eof or hashlib.sha256(body).hexdigest() != digest:
            return None
        return Catalog(_read_classes(body.decode()))
    except (binascii.Error, zlib.error, ValidationError, ValueError, RecursionError):
        return None


def _read_classes(text: str) -> dict[str, ClassSpec]:
    """The classes in a JSON object, one after another.

    To parse all at once is a single call into C, which holds the interpreter's lock for as long as it takes.
    """
    classes: dict[str, ClassSpec] = {}
    at = _expect("{", text, _SPACE.match(text).end())  # type: ignore[union-attr] # it matches nothing, too
    while not (text.startswith("}", at) and not classes):
        if not text.startswith('"', at):
            raise ValueError("a class has a name")
        name, at = _JSON.raw_decode(text, at)
        at = _expect(":", text, _SPACE.match(text, at).end())  # type: ignore[union-attr] # it matches nothing, too
        spec, at = _JSON.raw_decode(text, at)
        classes[name] = ClassSpec.model_validate(spec)
        at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
        if text.startswith("}", at):
            break
        at = _expect(",", text, at)
    if text[at + 1 :].strip(" \t\n\r"):
        raise ValueError("there is more than one value")
    return classes


def _expect(mark: str, text: str, at: int) -> int:
    """Where the next value begins, behind a mark and white space."""
    if not text.startswith(mark, at):
        raise ValueError(f"{mark} is missing")
    return _SPACE.match(text, at + 1).end()  # type: ignore[union-attr] # it matches nothing, too
