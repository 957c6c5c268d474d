"""Every form of a submission is recognized, or refused with what to send instead."""

import json
from typing import Any

import pytest

from contracts.wire.errors import FieldError
from gateway.edge.errors import InvalidRequest, Malformed
from gateway.edge.json_body import parse_json
from gateway.jobs.extra_data import MAX_BYTES, ExtraDataKeys
from gateway.jobs.workflow_pointers import find_longest_text, relocate_errors
from gateway.uploads.references import find_upload_ids
from gateway.workflows.submission_formats import parse_submission, unwrap_workflow_field

GRAPH = {"1": {"class_type": "EmptyImage", "inputs": {"width": 8}}, "2": {"class_type": "SaveImage", "inputs": {}}}
FILE = {"nodes": [{"id": 1, "type": "EmptyImage"}], "links": [], "version": 0.4}
PNG = {"extra_pnginfo": {"workflow": FILE}}


@pytest.mark.parametrize("workflow", [GRAPH, FILE], ids=["graph", "editor file"])
@pytest.mark.parametrize(
    ("wrap", "at"),
    [
        (lambda graph: {"workflow": graph}, "/workflow"),
        (lambda graph: {"prompt": graph}, "/prompt"),
        (lambda graph: {"prompt": graph, "client_id": "x"}, "/prompt"),
        (lambda graph: graph, ""),
        (json.dumps, ""),
        (lambda graph: {"workflow": json.dumps(graph)}, "/workflow"),
        (lambda graph: {"workflow": "\ufeff" + json.dumps(graph)}, "/workflow"),
        (lambda graph: {"workflow": {"prompt": graph}}, "/workflow/prompt"),
        (lambda graph: {"workflow": {"workflow": graph, "client_id": "x"}}, "/workflow/workflow"),
        (lambda graph: {"prompt": {"prompt": graph}}, "/prompt/prompt"),
        (lambda graph: {"input": {"workflow": graph}}, "/input/workflow"),
        (lambda graph: {"input": {"prompt": graph}}, "/input/prompt"),
        (lambda graph: {"input": graph}, "/input"),
    ],
)
def test_workflow_is_recognized_in_every_known_wrapper(workflow: dict[str, Any], wrap: Any, at: str) -> None:
    sent = parse_submission(wrap(workflow))
    assert (sent.submission.workflow, sent.submission.prompt, sent.workflow_pointer) == (workflow, None, at)


@pytest.mark.parametrize(
    ("body", "at"), [(PNG, "/extra_pnginfo/workflow"), ({"extra_data": PNG}, "/extra_data/extra_pnginfo/workflow")]
)
def test_editor_file_in_image_metadata_is_recognized(body: dict[str, Any], at: str) -> None:
    sent = parse_submission(body)
    assert (sent.submission.workflow, sent.workflow_pointer) == (FILE, at)
    assert sent.submission.extra_data == body.get("extra_data")


@pytest.mark.parametrize(
    "body", [{"prompt": GRAPH, "workflow": FILE}, {"workflow": {"prompt": GRAPH, "workflow": FILE}}]
)
def test_api_graph_is_preferred_in_image_metadata_with_both_formats(body: dict[str, Any]) -> None:
    assert parse_submission(body).submission.workflow == GRAPH


def test_graph_in_the_prompt_field_keeps_the_other_fields() -> None:
    body = {"prompt": GRAPH, "client_id": "x", "extra_data": PNG, "priority": 3, "labels": {"a": "b"}}
    submission = parse_submission(body).submission
    assert (submission.extra_data, submission.priority, submission.labels) == (PNG, 3, {"a": "b"})


def test_text_in_the_prompt_field_is_a_prompt() -> None:
    submission = parse_submission({"prompt": "a {red} cat", "steps": 3}).submission
    assert (submission.prompt, submission.workflow, submission.steps) == ("a {red} cat", None, 3)


def test_null_field_counts_as_omitted() -> None:
    sent = {
        "prompt": "a",
        "seed": None,
        "model": None,
        "workflow": None,
        "width": None,
        "labels": {"a": None, "b": "c"},
    }
    submission = parse_submission(sent).submission
    assert submission.model_fields_set == {"prompt", "labels"}
    assert (submission.seed, submission.labels) == (-1, {"b": "c"})
    saved = parse_submission({"workflow_name": "x", "parameters": {"a": None, "b": 1}, "version": None}).submission
    assert saved.parameters == {"b": 1}


def test_node_id_equal_to_a_field_name_is_a_node() -> None:
    graph = {"prompt": GRAPH["1"], "2": GRAPH["2"]}
    assert parse_submission(graph).submission.workflow == graph


@pytest.mark.requirement("B-46")
@pytest.mark.parametrize(
    ("body", "pointer", "words"),
    [
        ({**GRAPH, "priority": 3}, "", '{"workflow": {"1": {...}}, "priority": ...}.'),
        ({**GRAPH, "labels": {}}, "", 'Move the nodes into a field "workflow", and leave the rest'),
        ({"input": {"workflow": GRAPH, "images": []}}, "/input", "Upload images first"),
        ({"input": {"prompt": "a cat"}}, "/input", 'Remove the wrapper "input"'),
        (
            {"input": {"workflow": GRAPH}, "webhook": "http://x"},
            "/input",
            'Leave out fields that this API does not support: "webhook".',
        ),
        (
            {"prompt": GRAPH, "prompt_id": "x", "number": 1},
            "/prompt_id",
            'own queue: "prompt_id", "number"',
        ),
        ({"prompt": GRAPH, "front": True}, "/front", "ComfyUI's own queue"),
        ({"prompt": GRAPH, "workflow": GRAPH}, "/prompt", "Send one of them"),
        ({"workflow": '{"1": {'}, "/workflow", "ends too early, at line 1, column 7"),
        ({"workflow": '{"1": 2,\n}'}, "/workflow", "The comma before the closing bracket at line 2, column 1"),
        ('{"1": 2 "3"}', "", "at line 1, column 9: expected `,` or `}`"),
    ],
)
def test_ambiguous_body_is_refused_in_one_sentence(body: Any, pointer: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_submission(body)
    (error,) = refused.value.details.errors
    assert error.pointer == pointer
    assert words in error.message


@pytest.mark.parametrize(
    "body", [None, 1, [], "x", {}, {"workflow": 1}, {"workflow": "x"}, {"prompt": GRAPH, "stps": 1}]
)
def test_unrecognized_body_shape_is_refused(body: Any) -> None:
    with pytest.raises(InvalidRequest):
        parse_submission(body)


def test_saved_workflow_may_be_sent_as_json_text() -> None:
    assert unwrap_workflow_field({"workflow": json.dumps(GRAPH), "description": "a"}) == {
        "workflow": GRAPH,
        "description": "a",
    }
    assert unwrap_workflow_field({"description": "a"}) == {"description": "a"}
    assert unwrap_workflow_field([1]) == [1]


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b'{"a": 1,\n "b": 2,\n}', "json_invalid", "The comma before the closing bracket at line 3, column 1"),
        (b'[1, 2, ]', "json_invalid", "The comma before the closing bracket at line 1, column 8"),
        (b'{"a": {"b": 1,\n  "b": 2}}', "json_duplicate_key", '"b" is in one object twice, the second time at line 2'),
        (b'{"x": ["a", {"a": 1}], "a": 2, "\\u0061": 3}', "json_duplicate_key", 'at line 1, column 32.'),
        (b"{'a': 1}", "json_invalid", "at line 1, column 2: key must be a string. Strings need double quotes."),
        (b'{"a": True}', "json_invalid", "Write true, false and null in lower case"),
        (b'{"a": 1 // one\n}', "json_invalid", "at line 1, column 9: expected `,` or `}`. JSON has no comments"),
        (b'{"a": 1 "b": 2}', "json_invalid", "at line 1, column 9: expected `,` or `}`"),
        (b'// a\n{"a": 1}', "json_invalid", "JSON has no comments"),
        (b'{"a" 1}', "json_invalid", "at line 1, column 6: expected `:`"),
        (b'{"a": [1, 2', "json_invalid", "ends too early"),
        (b'{"a": 1} {}', "json_invalid", "at line 1, column 10: trailing characters"),
        (b"", "json_invalid", "The body is empty"),
        ('{"\u00e9\u00e9": 1 2}'.encode(), "json_invalid", "at line 1, column 10: expected"),  # characters, not bytes
        (b"\n" * 200_000 + b"x", "json_invalid", "at line 200001, column 1: expected a JSON value. Send a JSON object"),
        (b'["\\ud800"]', "json_surrogate", "half of a surrogate pair"),
        (b'["\\ud800\\u0041"]', "json_surrogate", "half of a surrogate pair"),
        (b'["\\udc00"]', "json_surrogate", "half of a surrogate pair"),
        (b'["\\u12"]', "json_invalid", "invalid escape"),
        (b'["\xff"]', "json_encoding", "not UTF-8"),
        ('{"\u00e9": 1,"\u00e9" : 2}'.encode(), "json_duplicate_key", 'at line 1, column 9.'),
        (b"[" * 300, "json_depth", "nested too deeply at line 1, column 202"),
        (b'["\\u0000"]', "json_nul", "NUL"),
        (b"[1e999]", "json_number", "finite"),
        (b"[" + b"7" * 401 + b"]", "json_number", "more than 400 digits"),
        (b"[" + b"1," * 100_000 + b"1]", "json_size", "More than 100000 values"),
    ],
)  # fmt: skip
def test_json_syntax_error_is_reported_with_line_and_column(body: bytes, code: str, words: str) -> None:
    with pytest.raises(Malformed) as refused:
        parse_json(body)
    (error,) = refused.value.details.errors
    assert error.code == code
    assert words in error.message


def test_digits_separators_and_quotes_inside_strings_are_not_counted() -> None:
    text = "7" * 500 + ",:[{" * 60_000 + '\\"' * 500
    assert parse_json(json.dumps({"a": text, "b": 7}).encode()) == {"a": text, "b": 7}


def test_byte_order_mark_is_skipped() -> None:
    assert parse_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


def test_nan_is_ignored_where_comfyui_ignores_it() -> None:
    sent = b'{"workflow": {"1": {"class_type": "A", "inputs": {"x": 1}, "is_changed": [NaN], "y": {"z": -Infinity}}}}'
    node = parse_json(sent)["workflow"]["1"]
    assert node == {"class_type": "A", "inputs": {"x": 1}, "is_changed": [None], "y": {"z": None}}
    assert parse_json(b'{"a": "NaN and Infinity"}') == {"a": "NaN and Infinity"}


def test_nan_in_an_input_is_refused_with_its_place() -> None:
    with pytest.raises(Malformed) as refused:
        parse_json(b'{"workflow": {"1": {"class_type": "A", "inputs": {"a/b": NaN}}}}')
    (error,) = refused.value.details.errors
    assert (error.code, error.pointer) == ("json_number", "/workflow/1/inputs/a~1b")


def test_extra_data_of_listed_keys_reaches_nodes() -> None:
    keys = ExtraDataKeys.from_setting("api_key_comfy_org")
    sent = {**PNG, "preview_method": "auto", "api_key_comfy_org": "k", "client_id": "x", "auth_token_comfy_org": None}
    assert keys.check_extra_data(sent) == {**PNG, "preview_method": "auto", "api_key_comfy_org": "k"}
    assert keys.check_extra_data({"client_id": "x"}) is None
    assert keys.check_extra_data(None) is None


@pytest.mark.parametrize(
    ("sent", "pointer", "code"),
    [
        ({"api_key_comfy_org": "SECRET"}, "/extra_data/api_key_comfy_org", "extra_data_key"),
        ({"anything": 1}, "/extra_data/anything", "extra_data_key"),
        ({"a/b~c": 1}, "/extra_data/a~1b~0c", "extra_data_key"),
        ({"extra_pnginfo": []}, "/extra_data/extra_pnginfo", "extra_data_value"),
        ({"extra_pnginfo": {"workflow": None}}, "/extra_data/extra_pnginfo", "extra_data_value"),
        ({"preview_method": "fast"}, "/extra_data/preview_method", "extra_data_value"),
        ({"extra_pnginfo": {"a": 2**70}}, "/extra_data", "integer_out_of_range"),
        ({"extra_pnginfo": {"a": "x" * MAX_BYTES}}, "/extra_data", "extra_data_too_large"),
    ],
)
def test_extra_data_that_no_node_may_get_is_refused(sent: dict[str, Any], pointer: str, code: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        ExtraDataKeys().check_extra_data(sent)
    (error,) = refused.value.details.errors
    assert (error.pointer, error.code) == (pointer, code)
    assert "SECRET" not in error.message


def test_errors_point_into_the_body_as_it_was_sent() -> None:
    errors = tuple(
        FieldError(pointer=one, code="x", message="x") for one in ("/workflow/1/inputs/a", "/workflow", "/x")
    )
    assert [error.pointer for error in relocate_errors(errors, "/prompt")] == ["/prompt/1/inputs/a", "/prompt", "/x"]
    assert [error.pointer for error in relocate_errors(errors, "")] == ["/1/inputs/a", "", "/x"]


def test_largest_text_of_a_workflow_is_found() -> None:
    graph = {"1": {"inputs": {"a": "short", "b": 3}}, "2": {"inputs": {"c": "é" * 9}}, "3": 4, "5": {}}
    assert find_longest_text(graph) == ("2", "c", 18)
    assert find_longest_text({}) is None


def test_upload_ids_are_found_in_the_widgets_of_an_editor_file() -> None:
    one, other = "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee", "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffef"
    inner = {"id": other.replace("f", "a"), "nodes": [{"id": 1, "widgets_values": {"image": other}}], "links": []}
    raw = {
        "id": one.replace("f", "b"),
        "nodes": [{"id": 1, "widgets_values": [one, "image"]}],
        "links": [],
        "definitions": {"subgraphs": [inner]},
    }
    assert find_upload_ids(raw) == {one, other}
