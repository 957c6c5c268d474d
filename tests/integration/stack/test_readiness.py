"""Readiness of services whose dependencies are missing."""

from collections.abc import Callable

import pytest
from fastapi import FastAPI

import auth.app
import auth.settings
import notifier.app
import notifier.settings
import scheduler.app
import scheduler.settings
from tests.kit.http import http_client
from tests.kit.serving import serving

NOWHERE = {"nats_url": "nats://127.0.0.1:1", "database_url": "postgresql+asyncpg://nobody@127.0.0.1:1/none"}
SECRET_KEY = "0123456789abcdef0123456789abcdef"


def create_auth() -> FastAPI:
    return auth.app.create_app(auth.settings.Settings.model_validate(NOWHERE | {"secret_key": SECRET_KEY}))


def create_notifier() -> FastAPI:
    return notifier.app.create_app(notifier.settings.Settings.model_validate(NOWHERE))


def create_scheduler() -> FastAPI:
    return scheduler.app.create_app(scheduler.settings.Settings.model_validate(NOWHERE))


@pytest.mark.parametrize("create", [create_auth, create_notifier, create_scheduler])
async def test_starting_service_is_alive_but_not_ready(create: Callable[[], FastAPI]) -> None:
    async with serving(create()) as at, http_client(base_url=f"http://{at}", timeout=10) as http:
        assert (await http.get("/healthz")).status_code == 200
        answer = await http.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["checks"]["startup"] is False
