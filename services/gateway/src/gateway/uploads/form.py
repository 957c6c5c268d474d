"""Extracts the file from a ``multipart/form-data`` body while it is received (RFC 7578).

The form has one file, in a part named ``file``, or ``image`` or ``images`` as ComfyUI's clients name it. Their other
fields are skipped. The file name and the declared type are ignored. Anything else is refused as soon as it arrives.
"""

import re
from typing import NoReturn

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from contracts.wire.errors import FieldError
from contracts.wire.show_values import format_value
from gateway.edge.errors import Malformed

FILE_FIELD = "file"
FILE_FIELDS = frozenset({b"file", b"image", b"images"})
IGNORED_FIELDS = frozenset({b"type", b"subfolder", b"overwrite"})  # fields of ComfyUI's own upload route, ignored here
MAX_FRAMING_BYTES = 8192  # bytes of a body around the file
_MAX_PREAMBLE_BYTES = 1024
_MAX_IGNORED_BYTES = 1024  # bytes of ignored fields
_MAX_HEADERS, _MAX_HEADER_BYTES = 8, 2048
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_UNENCODED = {b"", b"7bit", b"8bit", b"binary"}
_ADVICE = f'Send one file, in a field named "{FILE_FIELD}" or "image".'


def parse_boundary(content_type: str) -> bytes | None:
    """Return the boundary in a Content-Type; None for another media type.

    Raises:
        Malformed: the form has no boundary, or one that RFC 2046 does not permit.
    """
    media_type, parameters = parse_options_header(content_type)
    if media_type != b"multipart/form-data":
        return None
    boundary = parameters.get(b"boundary", b"")
    if not _BOUNDARY.fullmatch(boundary):
        _refuse_form("boundary", "Content-Type has no valid boundary. Let your HTTP library set this header.")
    return boundary


class UploadForm:
    """Parses a body chunk by chunk, and returns the bytes of its file.

    Args:
        boundary: see ``parse_boundary``.
    """

    def __init__(self, boundary: bytes) -> None:
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._on_part_begin,
                "on_header_begin": self._on_header_begin,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": self._on_part_data,
                "on_end": self._on_end,
            },
            max_header_count=_MAX_HEADERS,
            max_header_size=_MAX_HEADER_BYTES,
        )
        self._preamble_bytes = self._parts = 0
        self._files = self._ignored_bytes = 0
        self._is_file = False
        self._name, self._value = bytearray(), bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._content = bytearray()
        self._ended = False

    def extract_file_bytes(self, chunk: bytes) -> bytes:
        """Return the bytes of the file in this chunk of the body.

        Raises:
            Malformed: the body is not a form, or not a form with one file.
        """
        try:
            self._parser.write(chunk)
        except FormParserError:
            _refuse_form(
                "malformed", "The body is not a form in multipart/form-data. Let your HTTP library make the form."
            )
        if not self._parts:
            self._preamble_bytes += len(chunk)
            if self._preamble_bytes > _MAX_PREAMBLE_BYTES:
                _refuse_form(
                    "preamble",
                    "The body does not begin with its boundary. Let your HTTP library make the form.",
                )
        content, self._content = bytes(self._content), bytearray()
        return content

    def check_complete(self) -> None:
        """Check that the form is complete, after the last chunk.

        Raises:
            Malformed: it is not.
        """
        if not self._ended:
            _refuse_form("unfinished", "The body ended before the last boundary. Send it again.")
        if not self._files:
            _refuse_form("empty", f"The form has no file. {_ADVICE}")

    def refuse_framing(self) -> NoReturn:
        """Refuse a form with too many bytes around its file."""
        _refuse_form("framing", f"The form has more than {MAX_FRAMING_BYTES} bytes besides its file. {_ADVICE}")

    def _on_part_begin(self) -> None:
        self._parts += 1
        self._headers = {}

    def _on_header_begin(self) -> None:
        self._name, self._value = bytearray(), bytearray()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        name = bytes(self._name).lower()
        if name in self._headers:
            _refuse_form("repeated_header", "A part of the form repeats a header.")
        self._headers[name] = bytes(self._value)

    def _on_headers_finished(self) -> None:
        disposition, parameters = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = parameters.get(b"name", b"") if disposition == b"form-data" else b""
        self._is_file = name in FILE_FIELDS
        if name in IGNORED_FIELDS and b"filename" not in parameters and self._parts <= len(IGNORED_FIELDS) + 1:
            return
        if not self._is_file:
            _refuse_form("parts", _describe_extra_field(name, is_file=b"filename" in parameters))
        self._files += 1
        if self._files > 1:
            _refuse_form("parts", "The form has more than one file. Upload each file in a separate request.")
        if b"filename" not in parameters:
            _refuse_form("no_file", "The file came as a text field. Send it as a file, with a file name.")
        if self._headers.get(b"content-transfer-encoding", b"").strip().lower() not in _UNENCODED:
            _refuse_form("encoded", "The file has a Content-Transfer-Encoding. Send its bytes as they are.")

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._content += data[start:end]
            return
        self._ignored_bytes += end - start
        if self._ignored_bytes > _MAX_IGNORED_BYTES:
            _refuse_form("parts", f"The fields besides the file have more than {_MAX_IGNORED_BYTES} bytes. {_ADVICE}")

    def _on_end(self) -> None:
        self._ended = True


def _describe_extra_field(name: bytes, *, is_file: bool) -> str:
    if not name:
        return f"The form has a field without a name. {_ADVICE}"
    shown = format_value(name.decode(errors="replace"))
    if name in IGNORED_FIELDS and not is_file:
        return f"The form has too many fields, such as {shown} again. Send each field once."
    return (
        f'The form field {shown} is not accepted. Remove it, or, if it contains the file, name it "{FILE_FIELD}" or '
        '"image".'
    )


def _refuse_form(code: str, message: str) -> NoReturn:
    raise Malformed(errors=(FieldError(code=f"form_{code}", message=message),)) from None
