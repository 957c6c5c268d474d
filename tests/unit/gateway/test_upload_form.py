"""An upload form has one file under a known field name; other fields of ComfyUI's route are ignored."""

import pytest

from gateway.edge.errors import Malformed
from gateway.uploads.form import UploadForm


def part(name: str, content: bytes, *, is_file: bool = True) -> bytes:
    file_name = '; filename="a.png"' if is_file else ""
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"{file_name}\r\n\r\n'
    return head.encode() + content + b"\r\n"


def file_in(*parts: bytes) -> bytes:
    form = UploadForm(b"b")
    content = form.extract_file_bytes(b"".join(parts) + b"--b--\r\n")
    form.check_complete()
    return content


@pytest.mark.parametrize("name", ["file", "image", "images"])
def test_every_form_field_name_for_a_file_is_accepted(name: str) -> None:
    assert file_in(part(name, b"bytes")) == b"bytes"


def test_extra_fields_of_comfyuis_upload_form_are_ignored() -> None:
    fields = [part(name, b"input", is_file=False) for name in ("type", "subfolder", "overwrite")]
    assert file_in(fields[0], part("image", b"bytes"), *fields[1:]) == b"bytes"


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([part("image", b"a"), part("image", b"b")], "form_parts"),
        ([part("image", b"a"), part("file", b"b")], "form_parts"),
        ([part("picture", b"a")], "form_parts"),
        ([part("type", b"a")], "form_parts"),
        ([part("image", b"a", is_file=False)], "form_no_file"),
        ([part("type", b"a", is_file=False)], "form_empty"),
        ([part("type", b"a" * 2_000, is_file=False)], "form_parts"),
        ([part("type", b"", is_file=False)] * 5, "form_parts"),
    ],
)
def test_form_without_exactly_one_file_is_refused(parts: list[bytes], code: str) -> None:
    with pytest.raises(Malformed) as refused:
        file_in(*parts)
    (error,) = refused.value.refused.errors
    assert error.code == code
