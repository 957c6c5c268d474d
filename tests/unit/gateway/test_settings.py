from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.settings import Settings

BASE = {"secret_key": "0123456789abcdef0123456789abcdef", "database_url": "postgresql+asyncpg://u@h/"}


def test_database_defaults_to_the_service_name() -> None:
    assert Settings.model_validate(BASE).database_url.get_secret_value().endswith("/gateway")


def test_former_setting_name_of_the_artifact_directory_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UPLOAD_DIR", str(tmp_path))
    assert Settings.model_validate(BASE).artifacts_url == f"file://{tmp_path}"
    assert Settings.model_validate(BASE | {"artifacts_url": "s3://b"}).artifacts_url == "s3://b"


def test_origins_are_normalized_and_must_be_http() -> None:
    assert Settings.model_validate(BASE | {"public_url": "https://x/"}).public_url == "https://x"
    with pytest.raises(ValidationError):
        Settings.model_validate(BASE | {"public_url": "ftp://x"})
