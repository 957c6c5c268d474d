"""Hashes submissions, to detect an idempotency key that is reused for a different request."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from contracts.gateway.submissions import Submission


def hash_request(submission: Submission, batch_digest: str) -> str:
    """Return the hash of the request as sent, without generated values such as the seed."""
    sent_fields = _list_sent_fields(submission)
    try:
        written = orjson.dumps(sent_fields, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # an integer has more than 64 bits
        written = json.dumps(sent_fields, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(written + batch_digest.encode()).hexdigest()


def hash_large_request(submission: Submission, batch_digest: str) -> tuple[str, int]:
    """Return what ``hash_request`` returns, and the size of the request as compact JSON.

    The request is serialized in small pieces, so that no call holds the GIL for long.
    """
    sent_fields = _list_sent_fields(submission)
    try:
        digest, size = _digest_pieces(_serialize_sorted(sent_fields))
    except orjson.JSONEncodeError:
        whole = json.JSONEncoder(sort_keys=True, separators=(",", ":")).iterencode(sent_fields)
        digest, size = _digest_pieces(text.encode() for text in whole)
    digest.update(batch_digest.encode())
    return digest.hexdigest(), size


def _digest_pieces(pieces: Iterable[bytes]) -> tuple["hashlib._Hash", int]:
    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
    return digest, size


def _list_sent_fields(submission: Submission) -> dict[str, Any]:
    return {name: getattr(submission, name) for name in submission.model_fields_set}


def _serialize_sorted(value: Any) -> Iterator[bytes]:
    """Yield the value in the serialization of orjson with sorted keys, in pieces."""
    if isinstance(value, dict) and value:
        for number, key in enumerate(sorted(value)):
            yield b"," if number else b"{"
            yield orjson.dumps(key) + b":"
            yield from _serialize_sorted(value[key])
        yield b"}"
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            yield b"," if number else b"["
            yield from _serialize_sorted(item)
        yield b"]"
    else:
        yield orjson.dumps(value)
