from pathlib import Path

import pytest
from obstore.store import S3Store
from pydantic import ValidationError

from gateway.settings import Settings
from gateway.storage.objects import ArtifactStore
from gateway.storage.status import StoreStatus

BASE = {"secret_key": "0123456789abcdef0123456789abcdef", "database_url": "postgresql+asyncpg://u@h/"}


def test_database_defaults_to_the_service_name() -> None:
    assert Settings.model_validate(BASE).database_url.get_secret_value().endswith("/gateway")


def test_old_name_of_the_artifact_directory_setting_is_accepted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UPLOAD_DIR", str(tmp_path))
    assert Settings.model_validate(BASE).artifacts_url == f"file://{tmp_path}"
    monkeypatch.setenv("UPLOAD_DIR", str(tmp_path / "50% #1"))
    ArtifactStore(Settings.model_validate(BASE).artifacts_url, StoreStatus(min_free_bytes=0))
    assert [path.name for path in tmp_path.iterdir()] == ["50% #1"]
    assert Settings.model_validate(BASE | {"artifacts_url": "s3://b"}).artifacts_url == "s3://b"


def test_origins_are_normalized_and_must_be_http() -> None:
    assert Settings.model_validate(BASE | {"public_url": "https://x/"}).public_url == "https://x"
    with pytest.raises(ValidationError):
        Settings.model_validate(BASE | {"public_url": "ftp://x"})


@pytest.mark.requirement("setting AWS_SECRET_ACCESS_KEY")
def test_secret_key_of_the_bucket_can_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the secret key of a bucket\n")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY_FILE", str(secret))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the id of the key")
    for name, value in BASE.items():
        monkeypatch.setenv(f"GATEWAY_{name.upper()}", value)
    key = Settings().aws_secret_access_key
    assert key is not None
    store = ArtifactStore("s3://bucket", StoreStatus(min_free_bytes=0), secret_access_key=key.get_secret_value())._store
    assert isinstance(store, S3Store)
    assert store.config["secret_access_key"] == "the secret key of a bucket"
