import json
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.gateway.submissions import Submission
from contracts.graph_size.analysis import measure_graph
from contracts.graph_size.image_quota import compute_reservation
from contracts.wire.errors import FieldError
from contracts.workflow import read_graph
from gateway.api.v1 import cursors as cursor
from gateway.api.v1.errors import BadCursor
from gateway.edge.errors import InvalidRequest, Malformed
from gateway.edge.json_body import parse_json, validate_model
from gateway.signing.keys import derive_key
from gateway.storage.byte_range import ByteRange, UnsatisfiableError, etag_matches, parse_range
from gateway.transfers import input_token, output_token
from gateway.transfers.errors import BadOutputToken
from gateway.transfers.input_token import InputTokenClaims
from gateway.transfers.output_token import OutputTokenClaims
from gateway.uploads.references import find_upload_ids
from gateway.workflows.builtin import choice as built_in
from gateway.workflows.builtin import text_to_image

KEYS = (derive_key("secret", "tests"),)


def test_built_in_graph_is_complete_and_counts_its_images() -> None:
    graph, errors = read_graph(
        text_to_image.build_graph(
            Submission.model_validate({"prompt": "a", "negative_prompt": "b", "num_images": 3}), model="m", seed=5
        )
    )
    assert not errors
    assert compute_reservation(measure_graph(graph)).images == 3
    assert graph["sampler"].inputs["seed"] == 5
    assert graph["negative"].inputs["text"] == "b"
    assert {node.class_type for node in graph.values()} == {
        "CheckpointLoaderSimple", "CLIPTextEncode", "EmptyLatentImage", "KSampler", "VAEDecode", "SaveImage",
    }  # fmt: skip


UPLOAD, MASK = "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee", "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffef"


@pytest.mark.parametrize(
    ("over", "name", "classes", "denoise"),
    [
        ({}, "image-to-image", {"LoadImage", "VAEEncode"}, 0.75),
        ({"denoise": 0.3}, "image-to-image", {"LoadImage", "VAEEncode"}, 0.3),
        ({"width": 64, "num_images": 2}, "image-to-image", {"ImageScale", "RepeatLatentBatch"}, 0.75),
        ({"mask": MASK}, "inpaint", {"LoadImage", "LoadImageMask", "SetLatentNoiseMask"}, 1.0),
        ({"mask": MASK, "height": 64}, "inpaint", {"ImageScale", "ImageToMask", "SetLatentNoiseMask"}, 1.0),
    ],
)
def test_image_with_a_prompt_selects_image_to_image(
    over: dict[str, Any], name: str, classes: set[str], denoise: float
) -> None:
    submission = Submission.model_validate({"prompt": "a", "image": UPLOAD} | over)
    graph, errors = read_graph(built_in.build_graph(submission, model="m", seed=5))
    assert not errors
    assert built_in.find_workflow_name(submission) == name
    assert classes <= {node.class_type for node in graph.values()}
    assert graph["sampler"].inputs["denoise"] == denoise
    assert compute_reservation(measure_graph(graph)).images == over.get("num_images", 1)
    sent = {UPLOAD, over.get("mask", UPLOAD)}
    assert find_upload_ids({node_id: {"inputs": node.inputs} for node_id, node in graph.items()}) == sent


@pytest.mark.parametrize(
    "sent", [{"mask": MASK}, {"denoise": 0.5}, {"image": UPLOAD.upper()}, {"image": UPLOAD, "denoise": 0.009}]
)
def test_fields_that_conflict_with_a_prompt_are_refused(sent: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        validate_model(Submission, {"prompt": "a"} | sent)


def test_errors_of_the_built_in_graph_point_at_sent_fields() -> None:
    submission = Submission.model_validate({"prompt": "a", "image": UPLOAD})
    error = FieldError(pointer="/workflow/image/inputs/image", code="c", message="m", node_id="image", input="image")
    assert built_in.relocate_errors(submission, (error,)) == (FieldError(pointer="/image", code="c", message="m"),)
    unknown = FieldError(pointer="/workflow/decoded", code="unknown_class", message="m", node_id="decoded")
    assert built_in.relocate_errors(submission, (unknown,))[0].pointer == ""


@given(st.uuids(), st.text(), st.text())
def test_cursor_round_trips(before: UUID, tenant: str, filters: str) -> None:
    made = cursor.encode(KEYS, tenant=tenant, filters=filters, before=before)
    assert cursor.decode(KEYS, made, tenant=tenant, filters=filters) == before


@given(st.text())
def test_forged_cursor_is_refused(made: str) -> None:
    with pytest.raises(BadCursor):
        cursor.decode(KEYS, made, tenant="t", filters="f")


def test_cursor_is_bound_to_tenant_filter_and_key() -> None:
    made = cursor.encode(KEYS, tenant="t", filters="f", before=uuid4())
    for keys, tenant, filters in [(KEYS, "u", "f"), (KEYS, "t", "g"), ((derive_key("other", "tests"),), "t", "f")]:
        with pytest.raises(BadCursor):
            cursor.decode(keys, made, tenant=tenant, filters=filters)


def test_output_token_is_valid_until_it_expires() -> None:
    right = OutputTokenClaims(uuid4(), uuid4(), attempt=2, output_id=uuid4(), expires_s=1_000)
    token = output_token.sign(KEYS, right)
    assert output_token.verify(KEYS, token, now_s=1_000) == right
    assert right.key == f"{right.tenant_id}/{right.job_id}/2/{right.output_id}"
    with pytest.raises(BadOutputToken):
        output_token.verify(KEYS, token, now_s=1_001)


@given(st.integers(min_value=0), st.sampled_from("ABCXYZabcxyz0189-_."))
def test_altered_token_is_invalid(place: int, other: str) -> None:
    right = OutputTokenClaims(uuid4(), uuid4(), attempt=2, output_id=uuid4(), expires_s=1_000)
    token = output_token.sign(KEYS, right)
    place %= len(token) - 1  # the last character has unused bits, so changing it may not change the token
    modified = token[:place] + other + token[place + 1 :]
    if modified != token:
        with pytest.raises(BadOutputToken):
            output_token.verify(KEYS, modified, now_s=1_000)


def test_token_of_one_kind_is_refused_as_another() -> None:
    token = input_token.sign(KEYS, InputTokenClaims(uuid4(), uuid4(), expires_s=1_000))
    assert input_token.verify(KEYS, token, now_s=1_000).expires_s == 1_000
    with pytest.raises(BadOutputToken):
        output_token.verify(KEYS, token, now_s=1_000)
    with pytest.raises(BadCursor):
        cursor.decode(KEYS, token, tenant="t", filters="f")


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (None, None),
        ("bytes=0-0", ByteRange(0, 1)),
        ("bytes=2-", ByteRange(2, 10)),
        ("bytes=2-99", ByteRange(2, 10)),
        ("bytes=-3", ByteRange(7, 10)),
        ("bytes=-99", ByteRange(0, 10)),
        ("bytes=5-4", None),
        ("bytes=0-1,3-4", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("items=0-1", None),
        ("bytes=" + "0-0," * 10_000, None),
        ("bytes=0-" + "9" * 10_000, None),
    ],
)
def test_only_a_single_byte_range_is_honored(header: str | None, found: ByteRange | None) -> None:
    assert parse_range(header, 10) == found


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-12", "bytes=-0"])
def test_range_beyond_the_end_is_unsatisfiable(header: str) -> None:
    with pytest.raises(UnsatisfiableError):
        parse_range(header, 10)


def test_if_none_match_compares_etags() -> None:
    assert etag_matches('"a", W/"b"', '"b"')
    assert etag_matches("*", '"b"')
    assert not etag_matches('"a"', '"b"')
    assert not etag_matches(None, '"b"')


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**70), max_value=2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text().filter(lambda text: "\x00" not in text),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text().filter(lambda text: "\x00" not in text), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(json_values)
def test_json_numbers_keep_every_digit(value: Any) -> None:
    assert parse_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"\xff", b"\xef\xbb\xbf\xef\xbb\xbf{}", "{}".encode("utf-16"), b"NaN", b"-Infinity", b"1e999",
        b'"\\u0000"',
        b'{"\\u0000": 1}', b'"\\ud800"', b'{"\\udfff": 1}', b'{"a": 1, "a": 1}', b'{"b": {"a": 1, "a": 2}}',
        b"[" * 33 + b"]" * 33, b"[" * 100_000, b"1" * 5_000, b"{} {}", b"'a'", b"{a: 1}", b"[1,]",
    ],
)  # fmt: skip
def test_invalid_json_is_refused_as_malformed(body: bytes) -> None:
    with pytest.raises(Malformed) as refused:
        parse_json(body)
    assert len(refused.value.details.errors) == 1


def nested(depth: int) -> bytes:
    """Return JSON of alternating objects and lists, nested to this depth."""
    value: Any = {}
    for number in range(depth - 1):
        value = [value, 1] if number % 2 else {"a": value, "b": "c"}
    return json.dumps(value).encode()


def test_nesting_up_to_the_limit_is_accepted() -> None:
    assert parse_json(b"[" * 32 + b"]" * 32)
    assert parse_json(nested(32))
    with pytest.raises(Malformed) as refused:
        parse_json(nested(33))
    assert refused.value.details.errors[0].code == "json_depth"


@pytest.mark.parametrize("beside", ["", "a\\b"], ids=["plain", "with-a-backslash"])
@pytest.mark.parametrize(
    ("key", "text", "fits"),
    [
        ("k" * 1_024, "", True),
        ("k" * 1_025, "", False),
        ("\u00e9" * 512, "", True),  # two bytes each
        ("\u00e9" * 512 + "k", "", False),
        ("k", "t" * ((1 << 20) + 1), True),
        ("k", "\u00e9" * ((1 << 19) + 1), True),
    ],
)
def test_key_length_is_limited_and_text_length_is_not(key: str, text: str, fits: bool, beside: str) -> None:
    value = {"a": [{key: text}], "b": beside}
    body = json.dumps(value, ensure_ascii=False).encode()
    if fits:
        assert parse_json(body) == value
        return
    with pytest.raises(Malformed) as refused:
        parse_json(body)
    assert refused.value.details.errors[0].code == "json_text"


def test_validation_error_points_into_the_body_without_echoing_it() -> None:
    with pytest.raises(InvalidRequest) as refused:
        validate_model(Submission, {"prompt": "a", "steps": "SECRET", "labels": {"a/b~c": 7}, "k" * 1_000: "SECRET"})
    told = refused.value.details
    assert {"/steps", "/labels/a~1b~0c"} <= {error.pointer for error in told.errors}
    assert "SECRET" not in told.model_dump_json()
    assert max(len(error.pointer) for error in told.errors) <= 256
