"""Decodes catalogs and checks whether a catalog has what a workflow needs."""

import base64
import hashlib
import json
import zlib

import pytest

from contracts.catalog import ClassSpec, InputSpec
from contracts.graph_policy.policy import GraphPolicy, TenantPolicy
from contracts.workflow import read_graph
from scheduler.domain.catalog import Catalog, MissingNeeds, OptionNeed, decode_catalog
from scheduler.domain.fleet_check import RunnableGraph, check_fleet

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


def test_catalog_satisfies_needs_that_it_lists() -> None:
    needs = ["CheckpointLoaderSimple", "CheckpointLoaderSimple.ckpt_name=a.safetensors", "SaveImage"]
    assert CATALOG.satisfies(needs)
    assert not CATALOG.satisfies([*needs, "CheckpointLoaderSimple.ckpt_name=c.safetensors"])
    assert not CATALOG.satisfies(["KSampler"])


def test_need_with_a_dotted_class_name_is_satisfied() -> None:
    latent = ClassSpec(
        inputs={"kind": InputSpec(type="COMBO", required=True, options=("a=1", "b.c"))}, outputs=(), output_node=False
    )
    catalog = Catalog({"EmptyAceStep1.5LatentAudio": latent})
    assert catalog.satisfies(["EmptyAceStep1.5LatentAudio", "EmptyAceStep1.5LatentAudio.kind=b.c"])
    assert catalog.satisfies(["EmptyAceStep1.5LatentAudio.kind=a=1"])
    assert not catalog.satisfies(["EmptyAceStep1.5LatentAudio.kind=b"])
    assert not catalog.satisfies(["EmptyAceStep1"])
    assert not CATALOG.satisfies(["EmptyAceStep1.5LatentAudio"])


def test_longest_class_name_determines_the_class_of_an_option() -> None:
    short = ClassSpec(inputs={}, outputs=(), output_node=False)
    long = ClassSpec(
        inputs={"kind": InputSpec(type="COMBO", required=True, options=("a",))}, outputs=(), output_node=False
    )
    catalog = Catalog({"Sampler": short, "Sampler.v2": long})
    assert catalog.satisfies(["Sampler.v2.kind=a"])
    assert not catalog.satisfies(["Sampler.v2.kind=b"])


def test_need_with_an_equals_sign_in_the_class_name_is_satisfied() -> None:
    spec = ClassSpec(
        inputs={"kind": InputSpec(type="COMBO", required=True, options=("a", "b.c"))}, outputs=(), output_node=False
    )
    catalog = Catalog({"A=B.5": spec})
    assert catalog.satisfies(["A=B.5", "A=B.5.kind=b.c"])
    assert not catalog.satisfies(["A=B.5.kind=c"])


def test_missing_needs_are_classes_and_options_that_the_catalog_lacks() -> None:
    needs = ["CheckpointLoaderSimple", "CheckpointLoaderSimple.ckpt_name=c.safetensors", "New1.5", "New1.5.kind=a=1"]
    assert CATALOG.find_missing_needs(needs) == MissingNeeds(
        classes=("New1.5",), options=(OptionNeed("CheckpointLoaderSimple", "ckpt_name", "c.safetensors"),)
    )
    assert CATALOG.find_missing_needs(["CheckpointLoaderSimple", "SaveImage"]) == MissingNeeds()


def test_catalog_with_a_wrong_digest_is_rejected() -> None:
    body = json.dumps({name: spec.model_dump(mode="json") for name, spec in CLASSES.items()}).encode()
    packed = base64.b64encode(zlib.compress(body)).decode()
    digest = hashlib.sha256(body).hexdigest()
    read = decode_catalog(digest, packed)
    assert read is not None
    assert read.classes == CLASSES
    assert decode_catalog("0" * 64, packed) is None
    assert decode_catalog(digest, packed[:-8]) is None
    assert decode_catalog(digest, "not base64!") is None
    bomb = zlib.compress(b" " * (64 << 20))
    assert decode_catalog(hashlib.sha256(b" " * (64 << 20)).hexdigest(), base64.b64encode(bomb).decode()) is None


class CountedText(str):
    """A string that counts comparisons."""

    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        CountedText.compared += 1
        return str.__eq__(self, other)


@pytest.mark.parametrize(("loader", "name"), [("Loader", "name"), ("CheckpointLoaderSimple", "ckpt_name")])
def test_option_lookup_does_not_compare_with_every_option(loader: str, name: str) -> None:
    options = tuple(f"model-{number}" for number in range(5_000))
    accepted = InputSpec(type="COMBO", required=True, options=options)
    catalog = Catalog({loader: ClassSpec(inputs={name: accepted}, outputs=(), output_node=True, module="nodes")})
    raw = {str(n): {"class_type": loader, "inputs": {name: CountedText("model-4999")}} for n in range(100)}
    graph, _ = read_graph(raw)
    CountedText.compared = 0
    policy = TenantPolicy(mode=GraphPolicy.OPEN)
    assert isinstance(check_fleet(graph, frozenset(), [catalog], policy=policy, draw_seed=lambda _: 0), RunnableGraph)
    assert catalog.satisfies([f"{loader}.{name}=model-4999"])
    assert CountedText.compared <= 3 * len(graph)


def report_of(body: bytes) -> Catalog | None:
    return decode_catalog(hashlib.sha256(body).hexdigest(), base64.b64encode(zlib.compress(body)).decode())


def test_catalog_json_may_contain_any_white_space() -> None:
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
def test_catalog_that_is_not_an_object_of_classes_is_rejected(body: bytes) -> None:
    assert report_of(body) is None


WRITTEN = {name: spec.model_dump(mode="json") for name, spec in CLASSES.items()}
