"""Deletes files of ended jobs in the node's output folder. ComfyUI has no request that deletes a file."""

import asyncio
import shutil
import time
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from chassis.telemetry.logs import log
from executor.usecases.live_attempts import LiveAttempts

CLEAN_EVERY_S = 600.0


class OutputFolderCleaner:
    """Deletes job folders in which nothing was written for ``keep_s`` seconds.

    All files of a job are in a folder with its id as name (``domain.staging.build_attempt_folder``). Other folders and
    files, symbolic links, and the folders of live attempts stay.
    """

    def __init__(self, folder: Path, live_attempts: LiveAttempts, *, keep_s: float) -> None:
        self._folder, self._live_attempts, self._keep_s = folder, live_attempts, keep_s

    async def tick(self) -> None:
        """Delete the files of ended jobs once.

        Raises:
            OSError: the folder cannot be read, for example because it is not mounted.
        """
        kept = frozenset(str(attempt.ref.job_id) for attempt in self._live_attempts)
        deleted = await asyncio.to_thread(self._delete_old_folders, kept)
        if deleted:
            log.info("executor.output_folder.cleaned", jobs=deleted)

    def _delete_old_folders(self, kept: frozenset[str]) -> int:
        before, deleted = time.time() - self._keep_s, 0
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):  # another executor that shares the folder deletes it
                if path.name not in kept and _is_job_folder(path) and _find_last_write(path) <= before:
                    shutil.rmtree(path)  # follows no links
                    deleted += 1
        return deleted


def _is_job_folder(path: Path) -> bool:
    try:
        return str(UUID(path.name)) == path.name and path.is_dir() and not path.is_symlink()
    except ValueError:
        return False


def _find_last_write(folder: Path) -> float:
    """Return when anything in the folder was last written, Unix time."""
    return max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))
