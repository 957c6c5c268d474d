"""What a node can run, and whether a workflow is among it."""

import base64
import hashlib
import json
import zlib
from typing import Any

import pytest

from contracts.catalog import ClassSpec, InputSpec
from contracts.graph_policy.policy import GraphPolicy, TenantPolicy
from contracts.workflow import MAX_ERRORS, Graph, read_graph
from scheduler.domain.catalog import (
    MAX_ANSWERED,
    MAX_SUGGESTED_LENGTH,
    MAX_SUGGESTED_NAMES,
    Catalog,
    check,
    needs_of,
    read_catalog,
    with_suggestions,
)

CLASSES = {
    "CheckpointLoaderSimple": ClassSpec(
        inputs={"ckpt_name": InputSpec(type="COMBO", required=True, options=("a.safetensors", "b.safetensors"))},
        outputs=("MODEL", "CLIP", "VAE"),
        output_node=False,
        module="nodes",
    ),
    "EmptyImage": ClassSpec(
        inputs={
            "width": InputSpec(type="INT", required=True, min=1, max=100),
            "any": InputSpec(type="*", required=False),
        },
        outputs=("IMAGE",),
        output_node=False,
        module="nodes",
    ),
    "LoadImage": ClassSpec(
        inputs={"image": InputSpec(type="COMBO", required=True, upload=True)},
        outputs=("IMAGE", "MASK"),
        output_node=False,
        module="nodes",
    ),
    "SaveImage": ClassSpec(
        inputs={"images": InputSpec(type="IMAGE", required=True)}, outputs=(), output_node=True, module="nodes"
    ),
}
CATALOG = Catalog(CLASSES)
MINE = "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee"
UPLOADS = frozenset({MINE})
OPEN = TenantPolicy(mode=GraphPolicy.OPEN)


def graph_of(**changes: Any) -> Graph:
    raw = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 8}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}},
        **changes,
    }
    graph, errors = read_graph(raw)
    assert not errors
    return graph


def test_a_graph_that_the_node_can_run_has_no_errors() -> None:
    assert check(graph_of(), CATALOG, UPLOADS) == ()


@pytest.mark.parametrize(
    ("node", "code", "allowed"),
    [
        ({"class_type": "EmptyImag", "inputs": {}}, "unknown_node_class", None),
        ({"class_type": "EmptyImage", "inputs": {}}, "required_input_missing", None),
        ({"class_type": "EmptyImage", "inputs": {"width": 101}}, "value_out_of_range", (1.0, 100.0)),
        ({"class_type": "EmptyImage", "inputs": {"width": 0}}, "value_out_of_range", (1.0, 100.0)),
        ({"class_type": "EmptyImage", "inputs": {"width": "8"}}, "not_a_number", None),
        ({"class_type": "EmptyImage", "inputs": {"width": True}}, "not_a_number", None),
        (
            {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "c.safetensors"}},
            "value_not_in_list",
            ("a.safetensors", "b.safetensors"),
        ),
        ({"class_type": "LoadImage", "inputs": {"image": "../../etc/passwd"}}, "file_not_uploaded", None),
        ({"class_type": "LoadImage", "inputs": {"image": f"comfyfleet/{MINE}"}}, "file_not_uploaded", None),
        ({"class_type": "LoadImage", "inputs": {"image": f"{MINE} [output]"}}, "file_not_uploaded", None),
        ({"class_type": "LoadImage", "inputs": {"image": {"__value__": MINE}}}, "file_not_uploaded", None),
        ({"class_type": "LoadImage", "inputs": {"image": ["1", 0]}}, "link_not_allowed", None),
        ({"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": MINE}}, "upload_misplaced", None),
        ({"class_type": "SaveImage", "inputs": {"images": ["1", 1]}}, "broken_link", (0,)),
    ],
)
def test_what_the_node_would_refuse_is_refused_with_what_would_be_valid(
    node: dict[str, Any], code: str, allowed: tuple[Any, ...] | None
) -> None:
    (error,) = check(graph_of(**{"9": node}), CATALOG, UPLOADS)
    assert (error.code, error.node_id, error.allowed) == (code, "9", allowed)
    assert error.pointer.startswith("/workflow/9")


def test_a_link_of_another_type_is_refused() -> None:
    loader = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a.safetensors"}}
    save = {"class_type": "SaveImage", "inputs": {"images": ["8", 2]}}
    (error,) = check(graph_of(**{"8": loader, "9": save}), CATALOG, UPLOADS)
    assert error.code == "link_type_mismatch"


def test_a_wildcard_takes_any_link() -> None:
    image = {"class_type": "EmptyImage", "inputs": {"width": 8, "any": ["1", 0]}}
    assert check(graph_of(**{"9": image}), CATALOG, UPLOADS) == ()


def test_an_upload_goes_where_a_node_takes_a_file() -> None:
    assert check(graph_of(**{"9": {"class_type": "LoadImage", "inputs": {"image": MINE}}}), CATALOG, UPLOADS) == ()


def test_a_graph_that_keeps_nothing_is_refused() -> None:
    graph, _ = read_graph({"1": {"class_type": "EmptyImage", "inputs": {"width": 8}}})
    assert [error.code for error in check(graph, CATALOG, UPLOADS)] == ["workflow_without_output"]


def test_needs_are_classes_and_chosen_options() -> None:
    loader = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a.safetensors"}}
    needs = needs_of(graph_of(**{"9": loader}), CATALOG)
    assert needs == (
        "CheckpointLoaderSimple", "CheckpointLoaderSimple.ckpt_name=a.safetensors", "EmptyImage", "SaveImage",
    )  # fmt: skip
    assert CATALOG.satisfies(needs)
    assert not CATALOG.satisfies([*needs, "CheckpointLoaderSimple.ckpt_name=c.safetensors"])
    assert not CATALOG.satisfies(["KSampler"])


def test_a_report_that_is_not_what_its_digest_says_is_no_catalog() -> None:
    body = json.dumps({name: spec.model_dump(mode="json") for name, spec in CLASSES.items()}).encode()
    packed = base64.b64encode(zlib.compress(body)).decode()
    digest = hashlib.sha256(body).hexdigest()
    read = read_catalog(digest, packed)
    assert read is not None
    assert read.classes == CLASSES
    assert read_catalog("0" * 64, packed) is None
    assert read_catalog(digest, packed[:-8]) is None
    assert read_catalog(digest, "not base64!") is None
    bomb = zlib.compress(b" " * (64 << 20))
    assert read_catalog(hashlib.sha256(b" " * (64 << 20)).hexdigest(), base64.b64encode(bomb).decode()) is None


def unknown(*names: str) -> Graph:
    graph, errors = read_graph({str(number): {"class_type": name, "inputs": {}} for number, name in enumerate(names)})
    assert not errors
    return graph


def suggested(graph: Graph) -> list[tuple[Any, ...] | None]:
    return [error.allowed for error in with_suggestions(check(graph, CATALOG, UPLOADS), graph, CATALOG)]


def test_an_unknown_class_comes_with_classes_of_a_similar_name() -> None:
    assert suggested(unknown("EmptyImag", "SaveImages", "Qqqq")) == [("EmptyImage",), ("SaveImage", "LoadImage"), None]


def test_other_errors_keep_what_would_be_valid() -> None:
    loader = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "c.safetensors"}}
    assert suggested(graph_of(**{"9": loader})) == [("a.safetensors", "b.safetensors")]


def test_only_the_first_few_unknown_names_get_suggestions_however_often_each_is_there() -> None:
    names = [f"EmptyImage{number}" for number in range(MAX_SUGGESTED_NAMES + 3)]
    graph = unknown(*[name for name in names for _ in range(4)])
    with_names = [allowed is not None for allowed in suggested(graph)]
    assert with_names == [True] * 4 * MAX_SUGGESTED_NAMES + [False] * 4 * 3


def test_a_name_too_long_for_a_class_gets_no_suggestions_and_takes_no_place() -> None:
    long_names = ["EmptyImage" + "e" * MAX_SUGGESTED_LENGTH + str(number) for number in range(MAX_SUGGESTED_NAMES)]
    assert suggested(unknown(*long_names, "EmptyImag")) == [None] * MAX_SUGGESTED_NAMES + [("EmptyImage",)]


@pytest.mark.parametrize(
    "node",
    [
        {"class_type": "Unknown", "inputs": {}},
        {"class_type": "EmptyImage", "inputs": {}},
        {"class_type": "EmptyImage", "inputs": {"width": 101}},
        {"class_type": "SaveImage", "inputs": {"images": ["1", 7]}},
        {"class_type": "LoadImage", "inputs": {"image": "other"}},
        {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "none"}},
    ],
)
def test_a_check_stops_at_the_bound_of_errors(node: dict[str, Any]) -> None:
    graph = graph_of(**{f"n{number}": node for number in range(1_900)})
    assert len(check(graph, CATALOG, UPLOADS)) == MAX_ERRORS
    assert len(check(graph, CATALOG, UPLOADS, at_most=3)) == 3


def test_only_the_first_errors_say_what_would_be_valid() -> None:
    loader = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "none"}}
    errors = check(graph_of(**{f"n{number}": loader for number in range(200)}), CATALOG, UPLOADS)
    assert [error.allowed is not None for error in errors] == [True] * MAX_ANSWERED + [False] * (100 - MAX_ANSWERED)


class CountedText(str):
    """A text that counts how often it is compared."""

    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        CountedText.compared += 1
        return str.__eq__(self, other)


@pytest.mark.parametrize(("loader", "name"), [("Loader", "name"), ("CheckpointLoaderSimple", "ckpt_name")])
def test_choosing_from_a_long_list_does_not_compare_with_each_of_its_values(loader: str, name: str) -> None:
    options = tuple(f"model-{number}" for number in range(5_000))
    accepted = InputSpec(type="COMBO", required=True, options=options)
    catalog = Catalog({loader: ClassSpec(inputs={name: accepted}, outputs=(), output_node=True, module="nodes")})
    raw = {str(n): {"class_type": loader, "inputs": {name: CountedText("model-4999")}} for n in range(100)}
    graph, _ = read_graph(raw)
    CountedText.compared = 0
    assert check(graph, catalog, UPLOADS, OPEN) == ()
    assert catalog.satisfies([f"{loader}.{name}=model-4999"])
    assert CountedText.compared <= 2 * len(graph)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({"a": 1}, "literal_required"),
        (None, "literal_required"),
        ("model-x", "value_not_in_list"),
        (3.5, "value_not_in_list"),
        ({"__value__": "a.safetensors"}, "literal_required"),
    ],
)
def test_value_of_a_wrong_type_is_refused_for_a_choice(value: Any, code: str) -> None:
    loader = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": value}}
    assert [error.code for error in check(graph_of(**{"9": loader}), CATALOG, UPLOADS)] == [code]


def report_of(body: bytes) -> Catalog | None:
    return read_catalog(hashlib.sha256(body).hexdigest(), base64.b64encode(zlib.compress(body)).decode())


def test_a_catalog_is_read_class_by_class_with_any_white_space() -> None:
    for written in (json.dumps(WRITTEN), json.dumps(WRITTEN, indent=2), f" {json.dumps(WRITTEN)}\n"):
        catalog = report_of(written.encode())
        assert catalog is not None
        assert catalog.classes == CLASSES
    empty = report_of(b"{}")
    assert empty is not None
    assert empty.classes == {}


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{", b"null", b"{}{}", b'{"A"}', b'{"A":}', b'{"A":1}', b'{"A":{}}', b"{1:{}}", b'{"A":{},}',
        b"\xff",
        b'{"A":' + b"[" * 100_000,
    ],
)  # fmt: skip
def test_a_report_of_another_shape_is_no_catalog(body: bytes) -> None:
    assert report_of(body) is None


WRITTEN = {name: spec.model_dump(mode="json") for name, spec in CLASSES.items()}
