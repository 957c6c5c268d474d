"""Uploaded files."""

from collections.abc import Iterator

from comfyfleet_client import upload_calls as calls
from comfyfleet_client.caller import Caller
from comfyfleet_client.pages import PAGE_SIZE, iterate_pages
from comfyfleet_client.sync_runner import SyncRunner
from comfyfleet_client.upload_calls import Source, Upload


class Uploads:
    """Uploaded files of the user."""

    def __init__(self, caller: Caller, runner: SyncRunner) -> None:
        self._caller, self._runner = caller, runner

    def add(self, source: Source, *, exact: bool = False) -> Upload:
        """Upload a file: a path, bytes or an open file. Uploading the same bytes again returns the same upload.

        Images are re-encoded from their pixels. ``exact`` stores a PNG byte for byte; other files are always stored so.
        """
        content = calls.read_content(source)
        return self._runner.run(self._caller.execute(calls.add_upload(content, exact=exact)))

    def get(self, upload: Upload | str) -> Upload:
        """Return one upload."""
        return self._runner.run(self._caller.execute(calls.read_upload(calls.get_upload_id(upload))))

    def list(self, *, page_size: int = PAGE_SIZE) -> Iterator[Upload]:
        """Yield the user's uploads, newest first, fetching pages as needed."""
        return self._runner.iterate(
            iterate_pages(self._caller, lambda cursor: calls.list_uploads(limit=page_size, cursor=cursor))
        )

    def delete(self, upload: Upload | str) -> None:
        """Delete an upload. Raises Conflict while an active job uses it."""
        self._runner.run(self._caller.execute(calls.delete_upload(calls.get_upload_id(upload))))
