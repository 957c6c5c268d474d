"""The web console's files: what the gateway sends for a page, an asset, and when nothing is built."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from gateway.console.routes import CONTENT_SECURITY_POLICY, PAGE_PATHS
from gateway.settings import Settings
from tests.integration.gateway.conftest import settings_for
from tests.integration.gateway.long_timeouts import client_with_long_timeout, create_app_with_long_timeouts
from tests.kit.nats import NatsServer
from tests.kit.serving import serving

ROUTES = Path(__file__).parents[3] / "clients/console/src/routes.ts"


@asynccontextmanager
async def gateway_client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """Run a gateway and yield an HTTP client for it."""
    async with serving(create_app_with_long_timeouts(settings)) as at, client_with_long_timeout(at) as http:
        yield http


@pytest.mark.requirement("C-1", "GET /", "GET /assets/{name}")
async def test_console_is_compressed_and_cached_and_has_a_strict_csp(
    nats_server: NatsServer, database_url: str, tmp_path: Path
) -> None:
    built = tmp_path / "console"
    (built / "assets").mkdir(parents=True)
    (built / "index.html").write_text("<html>the page</html>")
    (built / "assets/index-abc.js").write_text("run()")
    (built / "assets/index-abc.js.br").write_bytes(b"brotli bytes")
    settings = settings_for(nats_server.url, database_url, tmp_path / "artifacts", console_dir=built)
    async with gateway_client(settings) as http:
        page = await http.get("/jobs/0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee")
        assert (page.status_code, page.text) == (200, "<html>the page</html>")
        assert page.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert page.headers["cache-control"] == "no-cache"
        assert not re.search(r"unsafe|script-src[^;]*https?:", CONTENT_SECURITY_POLICY)

        async with http.stream("GET", "/assets/index-abc.js", headers={"Accept-Encoding": "gzip, br"}) as asset:
            content = b"".join([chunk async for chunk in asset.aiter_raw()])
        assert (content, asset.headers["content-encoding"]) == (b"brotli bytes", "br")
        assert "immutable" in asset.headers["cache-control"]
        plain = await http.get("/assets/index-abc.js", headers={"Accept-Encoding": "identity"})
        assert (plain.text, plain.headers.get("content-encoding")) == ("run()", None)

        assert (await http.get("/assets/missing.js")).json()["code"] == "http.not_found"
        assert (await http.get("/no-such-page")).json()["code"] == "http.not_found"


@pytest.mark.requirement("C-1")
async def test_console_that_was_not_built_shows_how_to_build_it(
    nats_server: NatsServer, database_url: str, tmp_path: Path
) -> None:
    settings = settings_for(nats_server.url, database_url, tmp_path, console_dir=tmp_path / "missing")
    async with gateway_client(settings) as http:
        page = await http.get("/")
    assert page.status_code == 200
    assert "./dev console" in page.text


def test_gateway_and_console_have_the_same_pages() -> None:
    paths = re.findall(r'path: "([^"]+)", page:', ROUTES.read_text())
    assert sorted(re.sub(r":(\w+)", r"{\1}", path) for path in paths) == sorted(PAGE_PATHS)
