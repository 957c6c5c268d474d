"""Folders of ended jobs are deleted from a shared output folder; other files are kept."""

import os
import time
from pathlib import Path
from uuid import uuid4

import pytest

from executor.usecases.clean_output_folder import OutputFolderCleaner
from executor.usecases.live_attempts import LiveAttempts
from tests.unit.executor.test_journal import record as new_record

HOUR_S = 3600.0


def write(path: Path, *, hours_ago: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"image")
    for one in (path, *path.parents[:2]):
        os.utime(one, (time.time() - hours_ago * HOUR_S,) * 2)
    return path


@pytest.mark.requirement("retention.output-folder")
async def test_only_old_folders_of_other_jobs_are_deleted(tmp_path: Path) -> None:
    record, outputs, elsewhere = new_record(), tmp_path / "output", tmp_path / "elsewhere"
    live = LiveAttempts()
    live.add(record)
    old = write(outputs / str(uuid4()) / "1" / "a.png", hours_ago=3)
    kept = [
        write(outputs / str(uuid4()) / "1" / "a.png", hours_ago=1),
        write(outputs / str(record.ref.job_id) / "1" / "a.png", hours_ago=3),
        write(outputs / "by hand" / "1" / "a.png", hours_ago=3),
        write(outputs / f"{uuid4()}.png", hours_ago=3),
        write(elsewhere / "1" / "a.png", hours_ago=3),
    ]
    link = outputs / str(uuid4())
    link.symlink_to(elsewhere)
    os.utime(link, (time.time() - 3 * HOUR_S,) * 2, follow_symlinks=False)
    written_again = write(outputs / str(uuid4()) / "1" / "a.png", hours_ago=3)
    kept.append(write(written_again.parent.parent / "2" / "b.png", hours_ago=1))
    await OutputFolderCleaner(outputs, live, keep_s=2 * HOUR_S).tick()
    assert not old.parent.parent.exists()
    assert all(path.exists() for path in kept)
    assert link.is_symlink()


async def test_missing_output_folder_is_an_error(tmp_path: Path) -> None:
    cleaner = OutputFolderCleaner(tmp_path / "not mounted", LiveAttempts(), keep_s=HOUR_S)
    with pytest.raises(FileNotFoundError):
        await cleaner.tick()
