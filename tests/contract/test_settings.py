""".env.example lists exactly the settings that exist, and docker compose passes them on."""

from importlib import import_module
from typing import Any

import pytest
from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from chassis.cli import Service
from chassis.settings import ServiceSettings, UnprefixedEnvSource
from contracts.registry import SERVICES
from tests.kit.compose import EXAMPLE, PLACEHOLDER, environment, read_compose, read_env, read_example, variables

EXPLAINED = read_example()
SECRET = "0123456789abcdef" * 2
FILLED_IN = dict.fromkeys(read_env(EXAMPLE), SECRET)


def settings_of(service: str) -> type[ServiceSettings]:
    found: type[ServiceSettings] = import_module(f"{service}.settings").Settings
    return found


def fields_of(service: str) -> dict[str, Any]:
    return {f"{service.upper()}_{name.upper()}": field for name, field in settings_of(service).model_fields.items()}


@pytest.mark.parametrize("service", SERVICES)
def test_env_example_explains_exactly_the_existing_settings(service: str) -> None:
    explained = {name for name in EXPLAINED if name.startswith(f"{service.upper()}_")} - set(variables())
    assert explained == set(fields_of(service))


@pytest.mark.parametrize("service", SERVICES)
def test_env_example_shows_the_actual_defaults(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {name: EXPLAINED[name] for name in fields_of(service) if EXPLAINED[name]}
    for name, value in shown.items():
        monkeypatch.setenv(name, value.replace(PLACEHOLDER, SECRET))
    settings = settings_of(service)()
    for name, field in fields_of(service).items():
        default = None if field.default is PydanticUndefined else field.default
        if name in shown and default is not None:
            assert getattr(settings, name.removeprefix(f"{service.upper()}_").lower()) == default, name
        assert (name in shown) == (default is not None or field.is_required() or name.endswith("_SECRET_KEY")), name


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_reaches_its_container(service: str) -> None:
    container = read_compose()["services"][service]["environment"]
    plain = {f"{service.upper()}_{name.upper()}" for name in UnprefixedEnvSource.NAMES if name.upper() in container}
    assert set(fields_of(service)) <= container.keys() | plain
    ours = {name for name in container if name.startswith(f"{service.upper()}_")}
    assert ours <= set(fields_of(service))
    explained = EXPLAINED.keys()
    assert {name for name, value in container.items() if value is None} <= explained


def test_setting_names_without_a_prefix_are_explained() -> None:
    assert {name.upper() for name in UnprefixedEnvSource.NAMES} <= EXPLAINED.keys()


def test_every_compose_variable_is_explained_with_its_default() -> None:
    for name, default in variables().items():
        assert EXPLAINED[name] == (PLACEHOLDER if default is None else default), name


def test_required_settings_are_exactly_the_uncommented_ones() -> None:
    given = read_env(EXAMPLE)
    assert given.keys() == {name for name, default in variables().items() if default is None}
    assert set(given.values()) == {PLACEHOLDER}


@pytest.mark.parametrize("service", SERVICES)
def test_compose_settings_are_valid_for_each_service(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(service, FILLED_IN).items():
        monkeypatch.setenv(name, value)
    settings = settings_of(service)()
    assert settings.port == 8000
    assert isinstance(settings.nats_password, SecretStr)


def test_missing_required_setting_is_refused() -> None:
    with pytest.raises(KeyError, match="SECRET_KEY"):
        environment("auth", FILLED_IN | {"SECRET_KEY": ""})


@pytest.mark.requirement("setting DRAIN_DELAY_S")
@pytest.mark.parametrize("service", ["gateway", "notifier"])
def test_drain_delay_is_set_for_all_public_services_at_once(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(service, FILLED_IN).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DRAIN_DELAY_S", "7")
    described: Service = import_module(f"{service}.__main__").SERVICE
    assert described.drain_delay_s(described.settings()) == 7
