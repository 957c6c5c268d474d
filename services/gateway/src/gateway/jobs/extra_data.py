"""``extra_data``: data that ComfyUI's clients send with a graph, and that nodes get besides their inputs."""

from dataclasses import dataclass
from typing import Any, NoReturn

import orjson

from contracts.wire.errors import FieldError
from contracts.wire.text import escape_pointer_key
from contracts.workflow import exceeds_integer_range
from gateway.edge.errors import InvalidRequest
from gateway.edge.json_faults import shorten_key

MAX_BYTES = 1 << 20  # as compact JSON; stored with the job, and written into every image by ComfyUI
PNG_INFO, PREVIEW_METHOD = "extra_pnginfo", "preview_method"
PREVIEW_METHODS = ("default", "auto", "latent2rgb", "taesd", "none")

_DEFAULT_KEYS = frozenset({PNG_INFO, PREVIEW_METHOD})
_SET_BY_NODES = frozenset({"client_id", "create_time", "comfy_usage_source"})  # removed silently


@dataclass(frozen=True, slots=True)
class ExtraDataKeys:
    """The allowed keys. Others are refused, since they can carry secrets or change how a node behaves."""

    allowed: frozenset[str] = _DEFAULT_KEYS

    @classmethod
    def from_setting(cls, more: str | None) -> "ExtraDataKeys":
        """Allow the default keys, and the further keys of a comma-separated list."""
        return cls(_DEFAULT_KEYS.union(filter(None, (more or "").split(","))))

    def check_extra_data(self, sent: dict[str, Any] | None) -> dict[str, Any] | None:
        """Check ``extra_data`` and return what is passed to nodes; None if nothing is left.

        Nulls, and keys that nodes set themselves, are left out.

        Raises:
            InvalidRequest: a key is not allowed, a value is invalid, or the whole is larger than ``MAX_BYTES``.
        """
        kept = {name: value for name, value in (sent or {}).items() if value is not None and name not in _SET_BY_NODES}
        if not kept:
            return None
        for name, value in kept.items():
            self._check_value(name, value)
        if exceeds_integer_range(kept):
            _refuse_extra_data("", "integer_out_of_range", "An integer in extra_data has more than 64 bits.")
        size = len(orjson.dumps(kept))
        if size > MAX_BYTES:
            message = f"extra_data has at most {MAX_BYTES} bytes as compact JSON; this has {size}."
            _refuse_extra_data("", "extra_data_too_large", message)
        return kept

    def _check_value(self, name: str, value: Any) -> None:
        pointer = f"/{escape_pointer_key(shorten_key(name))}"
        if name not in self.allowed:
            listed = ", ".join(sorted(self.allowed))
            message = f'"{shorten_key(name)}" is not passed to ComfyUI. Leave it out. extra_data can have: {listed}.'
            _refuse_extra_data(pointer, "extra_data_key", message)
        if name == PNG_INFO:
            if not isinstance(value, dict) or not isinstance(value.get("workflow", {}), dict):
                message = "extra_pnginfo must be an object, and so must its workflow."
                _refuse_extra_data(pointer, "extra_data_value", message)
        elif not isinstance(value, str):
            _refuse_extra_data(pointer, "extra_data_value", f"{shorten_key(name)} must be a string.")
        elif name == PREVIEW_METHOD and value not in PREVIEW_METHODS:
            _refuse_extra_data(
                pointer, "extra_data_value", f"preview_method must be one of: {', '.join(PREVIEW_METHODS)}."
            )


def _refuse_extra_data(pointer: str, code: str, message: str) -> NoReturn:
    raise InvalidRequest(errors=(FieldError(pointer=f"/extra_data{pointer}", code=code, message=message),))
