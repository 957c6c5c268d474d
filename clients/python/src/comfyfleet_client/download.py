"""Downloads outputs: resumes after a disconnect and verifies the SHA-256."""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO

from comfyfleet_client import calls
from comfyfleet_client.caller import Caller, check_status
from comfyfleet_client.errors import DamagedDownload, ServerUnreachable
from comfyfleet_client.results import Output
from comfyfleet_client.steps import FetchBody, Flow, Response


class PartialDownload:
    """The bytes received so far. As a ``DownloadSink`` it accepts complete responses and continuations."""

    def __init__(self, file: IO[bytes]) -> None:
        self.etag = ""
        self.size = 0
        self._file, self._digest = file, hashlib.sha256()

    @property
    def sha256(self) -> str:
        """The digest of the bytes received so far."""
        return self._digest.hexdigest()

    def headers(self) -> dict[str, str]:
        """Return the request headers for the remaining bytes, or for all if the file has changed."""
        plain = {"Accept-Encoding": "identity"}
        return plain | ({"Range": f"bytes={self.size}-", "If-Range": self.etag} if self.size and self.etag else {})

    def accept_response(self, status: int, headers: Mapping[str, str]) -> bool:
        """Accept the rest (206), or start again (200)."""
        if status == 206 and headers.get("content-range", "").startswith(f"bytes {self.size}-"):
            return True
        if status != 200:
            return False
        self._file.seek(0)
        self._file.truncate()
        self.size, self.etag, self._digest = 0, headers.get("etag", ""), hashlib.sha256()
        return True

    def write(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._digest.update(chunk)
        self.size += len(chunk)


def download_to_memory(caller: Caller, job_id: str, index: int | None) -> Flow[bytes]:
    """Return the bytes of one output. Raises like ``download``."""
    file = BytesIO()
    yield from download(caller, job_id, index, file)
    return file.getvalue()


def download_to_file(caller: Caller, job_id: str, index: int | None, path: Path) -> Flow[Output]:
    """Write one output to a file, completely or not at all. Raises like ``download``, and OSError."""
    with _replace_when_complete(path) as file:
        return (yield from download(caller, job_id, index, file))


def export_to_file(caller: Caller, path: Path, *, files: bool) -> Flow[None]:
    """Write the account export to a ZIP file, completely or not at all."""
    with _replace_when_complete(path) as file:
        part, request = PartialDownload(file), calls.export_account(files=files)

        def attempt(auth_headers: dict[str, str]) -> Flow[None]:
            response: Response = yield FetchBody(caller.build_http_request(request, auth_headers), part)
            check_status(response)

        yield from caller.run_authenticated(
            request, lambda auth_headers: caller.run_with_retries(lambda: attempt(auth_headers))
        )


@contextmanager
def _replace_when_complete(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file that replaces the path when the block succeeds."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
        Path(name).chmod(0o666 & ~_read_umask())
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def download(caller: Caller, job_id: str, index: int | None, file: IO[bytes]) -> Flow[Output]:
    """Download one output and return its record.

    Args:
        caller: executes the requests.
        job_id: id of a completed job.
        index: position among all outputs of the job; None for the API's default.
        file: an empty file, open for writing and seeking.

    Raises:
        DamagedDownload: the bytes do not match the record.
        NotFound: there is no such output.
        Conflict: the job has not completed.
    """
    outputs = (yield from caller.execute(calls.read_outputs(job_id))).outputs
    part, request = PartialDownload(file), calls.download_result(job_id, index)

    def attempt(auth_headers: dict[str, str]) -> Flow[None]:
        sent = caller.build_http_request(request, auth_headers | part.headers())
        response: Response = yield FetchBody(sent, part)
        if response.status == 206 and response.body:
            raise ServerUnreachable("The service sent another range than the requested one.")
        check_status(response)

    yield from caller.run_authenticated(
        request, lambda auth_headers: caller.run_with_retries(lambda: attempt(auth_headers))
    )
    return _verify_download(part, outputs, index)


def _verify_download(part: PartialDownload, outputs: tuple[Output, ...], index: int | None) -> Output:
    """Verify the received bytes and return the record."""
    if index is None:
        expected = next((output for output in outputs if f'"{output.sha256}"' == part.etag), None)
    else:
        expected = outputs[index] if 0 <= index < len(outputs) else None
    if expected is None:
        raise DamagedDownload("The service sent a file that is not among the outputs of the job.")
    if (part.size, part.sha256) != (expected.size_bytes, expected.sha256):
        raise DamagedDownload(
            f"{expected.name}: the {part.size} downloaded bytes do not match the record ({expected.size_bytes} bytes)."
        )
    return expected


def _read_umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
