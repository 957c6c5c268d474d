"""The reply to the commit of a request is lost: it takes effect once, and the client is told so."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.integration.gateway.conftest import ALICE, Gateway, settings_for, until_ready
from tests.integration.gateway.long_timeouts import client_with_long_timeout, create_app_with_long_timeouts
from tests.integration.gateway.test_outputs import finished
from tests.integration.gateway.test_uploads import post, some_png
from tests.integration.gateway.test_workflows import save
from tests.kit.commit_faults import CommitFaults, running_faults
from tests.kit.nats import NatsServer
from tests.kit.scripted import Script
from tests.kit.serving import serving

pytestmark = pytest.mark.requirement("F-94")


@pytest.fixture
async def faults(database_url: str) -> AsyncIterator[CommitFaults]:
    async with running_faults(database_url) as faults:
        yield faults


@pytest.fixture
async def gateway(
    nats_server: NatsServer,
    faults: CommitFaults,
    script: Script,  # noqa: ARG001 - it answers the gateway
    tmp_path: Path,
) -> AsyncIterator[Gateway]:
    """A gateway that reaches PostgreSQL through ``faults``."""
    app = create_app_with_long_timeouts(settings_for(nats_server.url, faults.url, tmp_path))
    async with serving(app) as at, client_with_long_timeout(at) as http:
        await until_ready(http)
        yield Gateway(http, f"http://{at}", tmp_path, nats_server.url)


async def test_workflow_is_saved_and_deleted_if_the_commit_replies_are_lost(
    gateway: Gateway, faults: CommitFaults
) -> None:
    name = f"w-{uuid4().hex}"
    faults.cut_commit("INSERT INTO workflows", when="after")
    saved = await save(gateway, name)
    assert faults.has_cut
    assert (saved.status_code, saved.json()["version"]) == (201, 1)
    faults.cut_commit("DELETE FROM workflows", when="after")
    deleted = await gateway.http.delete(f"/api/v1/workflows/{name}", headers=ALICE)
    assert faults.has_cut
    assert deleted.status_code == 204


async def test_upload_is_stored_and_deleted_if_the_commit_replies_are_lost(
    gateway: Gateway, faults: CommitFaults
) -> None:
    faults.cut_commit("INSERT INTO uploads", when="after")
    upload = await post(gateway, some_png())
    assert faults.has_cut
    assert upload.status_code == 201
    faults.cut_commit("DELETE FROM uploads", when="after")
    deleted = await gateway.http.delete(f"/api/v1/uploads/{upload.json()['id']}", headers=ALICE)
    assert faults.has_cut
    assert deleted.status_code == 204


async def test_share_is_ended_if_the_commit_reply_is_lost(
    gateway: Gateway, script: Script, faults: CommitFaults
) -> None:
    job_id, _ = await finished(gateway, script, b"picture")
    share = f"/api/v1/jobs/{job_id}/share"
    assert (await gateway.http.post(share, headers=ALICE, json={})).status_code == 201
    faults.cut_commit("DELETE FROM job_shares", when="after")
    deleted = await gateway.http.delete(share, headers=ALICE)
    assert faults.has_cut
    assert deleted.status_code == 204
