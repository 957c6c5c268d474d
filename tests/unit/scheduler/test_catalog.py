"""What a node can run."""

import base64
import hashlib
import json
import zlib

from contracts.catalog import ClassSpec, InputSpec
from scheduler.domain.catalog import Catalog, read_catalog

CLASSES = {
    "CheckpointLoaderSimple": ClassSpec(
        inputs={"ckpt_name": InputSpec(type="COMBO", required=True, options=("a.safetensors", "b.safetensors"))},
        outputs=("MODEL", "CLIP", "VAE"),
        output_node=False,
    ),
    "EmptyImage": ClassSpec(
        inputs={
            "width": InputSpec(type="INT", required=True, min=1, max=100),
            "any": InputSpec(type="*", required=False),
        },
        outputs=("IMAGE",),
        output_node=False,
    ),
    "LoadImage": ClassSpec(
        inputs={"image": InputSpec(type="COMBO", required=True, upload=True)},
        outputs=("IMAGE", "MASK"),
        output_node=False,
    ),
    "SaveImage": ClassSpec(inputs={"images": InputSpec(type="IMAGE", required=True)}, outputs=(), output_node=True),
}
CATALOG = Catalog(CLASSES)


def test_node_satisfies_what_its_catalog_has() -> None:
    needs = ["CheckpointLoaderSimple", "CheckpointLoaderSimple.ckpt_name=a.safetensors", "SaveImage"]
    assert CATALOG.satisfies(needs)
    assert not CATALOG.satisfies([*needs, "CheckpointLoaderSimple.ckpt_name=c.safetensors"])
    assert not CATALOG.satisfies(["KSampler"])


def test_class_with_a_dot_in_its_name_is_found() -> None:
    latent = ClassSpec(
        inputs={"kind": InputSpec(type="COMBO", required=True, options=("a=1", "b.c"))}, outputs=(), output_node=False
    )
    catalog = Catalog({"EmptyAceStep1.5LatentAudio": latent})
    assert catalog.satisfies(["EmptyAceStep1.5LatentAudio", "EmptyAceStep1.5LatentAudio.kind=b.c"])
    assert catalog.satisfies(["EmptyAceStep1.5LatentAudio.kind=a=1"])
    assert not catalog.satisfies(["EmptyAceStep1.5LatentAudio.kind=b"])
    assert not catalog.satisfies(["EmptyAceStep1"])
    assert not CATALOG.satisfies(["EmptyAceStep1.5LatentAudio"])


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
