"""HTTP clients of tests, without the certificates that httpx loads for each client in 50 ms of CPU."""

import ssl
from typing import Any

import httpx

NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def http_client(**options: Any) -> httpx.AsyncClient:
    """Return a client for plain HTTP without the environment's proxies."""
    settings: dict[str, Any] = {"verify": NO_CERTIFICATES, "trust_env": False} | options
    return httpx.AsyncClient(**settings)
