from pathlib import Path

from gateway.storage.objects import ArtifactStore
from gateway.storage.status import StoreStatus


async def test_artifact_store_whose_folder_became_a_file_is_not_writable(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    store = ArtifactStore(folder.as_uri(), StoreStatus(min_free_bytes=0))
    assert await store.can_write()
    folder.rmdir()
    folder.write_bytes(b"")
    assert not await store.can_write()
