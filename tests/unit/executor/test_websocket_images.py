import json
import struct
from typing import Any

import pytest

from executor.domain.websocket_images import WebsocketImage, WebsocketImageDecoder

PNG, JPEG, WEBP = b"\x89PNG\r\n\x1a\n...", b"\xff\xd8\xff...", b"RIFF....WEBP"
PROMPT = "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee"
GRAPH = {
    "1": {"class_type": "KSampler", "inputs": {}},
    "2": {"class_type": "SaveImageWebsocket", "inputs": {}},
    "3": {"class_type": "ETN_SendImageWebSocket", "inputs": {}},
    "4": {"class_type": "LoadImageFromWebsocket", "inputs": {}},
}


def plain(content: bytes, kind: int = 1) -> bytes:
    return struct.pack(">II", kind, 2) + content


def with_metadata(content: bytes, **metadata: Any) -> bytes:
    text = json.dumps({"prompt_id": PROMPT, **metadata}).encode()
    return struct.pack(">II", 4, len(text)) + text + content


@pytest.fixture
def images() -> WebsocketImageDecoder:
    return WebsocketImageDecoder(GRAPH, PROMPT)


def run(images: WebsocketImageDecoder, *nodes: str | None) -> None:
    for node in nodes:
        images.apply_event("executing", {"node": node, "display_node": node, "prompt_id": PROMPT})


def test_frame_with_metadata_belongs_to_the_node_that_it_names(images: WebsocketImageDecoder) -> None:
    run(images, "1")
    assert images.decode_frame(with_metadata(PNG, node_id="2")) == WebsocketImage("2", 1, "png", PNG)
    assert images.decode_frame(with_metadata(JPEG, node_id="2.0.0.1", display_node_id="2")) == WebsocketImage(
        "2", 2, "jpg", JPEG
    )


def test_frame_without_metadata_belongs_to_the_node_that_runs(images: WebsocketImageDecoder) -> None:
    run(images, "3")
    assert images.decode_frame(plain(WEBP)) == WebsocketImage("3", 1, "webp", WEBP)


def test_preview_frame_is_not_an_output_image(images: WebsocketImageDecoder) -> None:
    run(images, "1")
    assert images.decode_frame(plain(JPEG)) is None
    run(images, "2")
    assert images.decode_frame(with_metadata(JPEG, node_id="1")) is None
    assert images.decode_frame(with_metadata(JPEG, node_id="2", prompt_id="another")) is None


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x00\x00\x00\x01",
        plain(b""),
        plain(b"no image"),
        plain(PNG, kind=3),
        struct.pack(">II", 4, 2**32 - 1) + PNG,
        struct.pack(">II", 4, 3) + b"{{{" + PNG,
        struct.pack(">II", 4, 2) + b"[]" + PNG,
        with_metadata(PNG, node_id=["2"]),
    ],
)
def test_malformed_frame_is_not_an_image(images: WebsocketImageDecoder, frame: bytes) -> None:
    run(images, "2")
    assert images.decode_frame(frame) is None


def test_no_images_are_missing_when_every_event_was_received(images: WebsocketImageDecoder) -> None:
    run(images, "1", "2", None)
    assert images.has_ended
    assert images.missing_nodes == []


def test_missing_end_event_leaves_images_missing(images: WebsocketImageDecoder) -> None:
    run(images, "1", "2")
    assert images.missing_nodes == ["2", "3"]


def test_node_running_during_a_disconnect_may_have_sent_images(images: WebsocketImageDecoder) -> None:
    run(images, "2")
    images.record_disconnect()
    run(images, "3", None)
    assert images.missing_nodes == ["2"]


def test_unobserved_node_may_have_sent_images(images: WebsocketImageDecoder) -> None:
    run(images, "1")
    images.record_disconnect()
    run(images, None)
    assert images.missing_nodes == ["2", "3"]


def test_disconnect_before_any_websocket_image_node_runs_loses_no_images(images: WebsocketImageDecoder) -> None:
    run(images, "1")
    images.record_disconnect()
    run(images, "2", "3", None)
    assert images.missing_nodes == []


def test_disconnect_after_every_websocket_image_node_ran_loses_no_images(images: WebsocketImageDecoder) -> None:
    run(images, "2", "3", "1")
    images.record_disconnect()
    assert images.missing_nodes == []


def test_cached_node_sends_no_images(images: WebsocketImageDecoder) -> None:
    images.apply_event("execution_cached", {"nodes": ["3", 5], "prompt_id": PROMPT})
    run(images, "2", None)
    assert images.missing_nodes == ["3"]
