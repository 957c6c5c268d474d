"""The catalog of a node: its classes with their inputs and options, from the node's ``object_info``."""

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
from contracts.workflow import is_model_file_name
from scheduler.domain.class_facts import ClassFacts, build_class_facts

MAX_CATALOG_BYTES = 32 << 20  # decompressed; 0.7 MB for a stock node, several times that with custom packs

_SPACE = re.compile(r"[ \t\n\r]*")
_JSON = json.JSONDecoder()


class OptionNeed(NamedTuple):
    """A needed option: the input of the class must list this value."""

    node_class: str
    input: str
    value: str


class MissingNeeds(NamedTuple):
    """Needs of a workflow that a node does not meet: missing classes, and missing options of classes that it has."""

    classes: tuple[str, ...] = ()
    options: tuple[OptionNeed, ...] = ()


class Catalog:
    """The node classes of one node.

    Attributes:
        rules: the graph policy rules for these classes.
    """

    def __init__(self, classes: dict[str, ClassSpec]) -> None:
        self.classes = classes
        self.rules = GraphRules(classes)
        self._facts: dict[str, ClassFacts] = {}
        self._options: dict[int, frozenset[Scalar]] = {}  # by id() of the input, which lives as long as the catalog

    @cached_property
    def models(self) -> dict[str, tuple[str, ...]]:
        """The model files by loader input (``Class.input``)."""
        return {
            f"{name}.{field}": models
            for name, spec in self.classes.items()
            for field, accepted in spec.inputs.items()
            if (models := tuple(option for option in accepted.options or () if is_model_file_name(option)))
        }

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.classes)

    def get_class_facts(self, class_type: str) -> ClassFacts:
        """Return the facts about a class of this catalog. Cached."""
        found = self._facts.get(class_type)
        if found is None:
            found = self._facts[class_type] = build_class_facts(class_type, self.classes[class_type])
        return found

    def has_option(self, accepted: InputSpec, value: object) -> bool:
        """Whether an input of this catalog lists the value. Constant time for any number of options."""
        if accepted.variants is not None:
            return isinstance(value, str) and value in accepted.variants
        found = self._options.get(id(accepted))
        if found is None:
            found = self._options[id(accepted)] = frozenset(accepted.options or ())
        return isinstance(value, str | int | float) and value in found

    def may_accept_option(self, class_type: str, name: str, value: object) -> bool:
        """Whether the node has the class, and its input lists the value or has no list of options."""
        spec = self.classes.get(class_type)
        if spec is None:
            return False
        accepted = spec.inputs.get(name)
        return accepted is None or accepted.options is None or self.has_option(accepted, value)

    def satisfies(self, needs: Iterable[str]) -> bool:
        """Whether the node meets all needs of a workflow: classes (``Class``) and options (``Class.input=option``)."""
        return all(need in self.classes or self._has_needed_option(need) for need in needs)

    def find_missing_needs(self, needs: Sequence[str]) -> MissingNeeds:
        """Return the needs that the node does not meet. Options of a missing class are left out.

        Args:
            needs: all needs of one workflow; each option is accompanied by its class.
        """
        missing = [need for need in needs if not self.satisfies([need])]
        known = {*needs, *self.classes}
        options = {need: option for need in missing if (option := _parse_option(need, known)) is not None}
        return MissingNeeds(
            classes=tuple(need for need in missing if need not in options),
            options=tuple(option for option in options.values() if option.node_class in self.classes),
        )

    def _has_needed_option(self, need: str) -> bool:
        option = _parse_option(need, self.classes)
        return option is not None and self.may_accept_option(option.node_class, option.input, option.value)


def _parse_option(need: str, classes: Container[str]) -> OptionNeed | None:
    """Parse ``Class.input=option``; None if it starts with none of these classes.

    Names of classes may contain dots ("EmptyAceStep1.5LatentAudio"), and so may names of dynamic inputs. The longest
    matching class name wins.
    """
    end = need.rfind(".")
    while end > 0:
        field, equals, value = need[end + 1 :].partition("=")
        if equals and need[:end] in classes:
            return OptionNeed(need[:end], field, value)
        end = need.rfind(".", 0, end)
    return None


def decode_catalog(digest: str, classes_zlib: str) -> Catalog | None:
    """Decode a reported catalog. None if it is malformed, larger than ``MAX_CATALOG_BYTES`` or has another digest.

    Args:
        digest: SHA-256 of the decompressed JSON, in hex.
        classes_zlib: base64 of the zlib-compressed JSON.
    """
    try:
        inflate = zlib.decompressobj()
        body = inflate.decompress(base64.b64decode(classes_zlib, validate=True), MAX_CATALOG_BYTES)
        if not inflate.eof or hashlib.sha256(body).hexdigest() != digest:
            return None
        return Catalog(_parse_classes(body.decode()))
    except (binascii.Error, zlib.error, ValidationError, ValueError, RecursionError):
        return None


def _parse_classes(text: str) -> dict[str, ClassSpec]:
    """Parse the classes of a JSON object one by one.

    One ``json.loads`` of everything would hold the interpreter's lock for the whole time.
    """
    classes: dict[str, ClassSpec] = {}
    position = _skip_delimiter("{", text, _skip_space(text, 0))
    while not (text.startswith("}", position) and not classes):
        if not text.startswith('"', position):
            raise ValueError("a class has no name")
        name, position = _JSON.raw_decode(text, position)
        position = _skip_delimiter(":", text, _skip_space(text, position))
        spec, position = _JSON.raw_decode(text, position)
        classes[name] = ClassSpec.model_validate(spec)
        position = _skip_space(text, position)
        if text.startswith("}", position):
            break
        position = _skip_delimiter(",", text, position)
    if text[position + 1 :].strip(" \t\n\r"):
        raise ValueError("there is more than one JSON value")
    return classes


def _skip_delimiter(delimiter: str, text: str, position: int) -> int:
    """Return the position after a delimiter and the white space that follows it."""
    if not text.startswith(delimiter, position):
        raise ValueError(f"{delimiter} is missing")
    return _skip_space(text, position + 1)


def _skip_space(text: str, position: int) -> int:
    return _SPACE.match(text, position).end()  # type: ignore[union-attr] # it also matches an empty text
