"""docker-compose.yml and the Dockerfile, as far as they can be checked without Docker."""

import json
import re
from importlib import resources
from typing import Any

import jsonschema
import pytest
import yaml

from contracts.registry import DATABASES, SERVICES
from tests.kit.compose import COMPOSE, ROOT, VARIABLE, read_compose

SCHEMA = resources.files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json"
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
LOCKS = ROOT / "deploy/locks"
OURS: dict[str, dict[str, Any]] = {
    name: service for name, service in read_compose()["services"].items() if "comfyfleet" in service["image"]
}


def copied() -> list[str]:
    """Return everything that the Dockerfile copies from the checkout."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


def test_compose_file_matches_the_compose_specification() -> None:
    jsonschema.validate(read_compose(), json.loads(SCHEMA.read_text()))


@pytest.mark.parametrize("name", ["gpu-boxes", "gpu-box"])
def test_files_for_other_machines_match_the_compose_specification(name: str) -> None:
    content = yaml.safe_load((ROOT / f"deploy/compose/{name}.yml").read_text())
    jsonschema.validate(content, json.loads(SCHEMA.read_text()))


def test_executor_of_a_gpu_machine_passes_on_the_same_settings_as_that_of_the_server() -> None:
    elsewhere = yaml.safe_load((ROOT / "deploy/compose/gpu-box.yml").read_text())["services"]["executor"]["environment"]
    here, there = (
        {name for name, value in environment.items() if value is None and name.startswith("EXECUTOR_")}
        for environment in (OURS["executor"]["environment"], elsewhere)
    )
    assert there == here >= {"EXECUTOR_DRAIN_S"}


def test_compose_schema_rejects_an_invalid_file() -> None:
    wrong = read_compose()
    wrong["services"]["auth"]["restarts"] = "always"
    with pytest.raises(jsonschema.ValidationError, match="restarts"):
        jsonschema.validate(wrong, json.loads(SCHEMA.read_text()))


def test_yaml_merge_keys_of_the_compose_file_are_resolved() -> None:
    assert "<<" not in json.dumps(read_compose())
    for name in (*SERVICES, *(f"{database}-migrate" for database in DATABASES)):
        assert OURS[name]["read_only"] is True, name
        assert OURS[name]["cap_drop"] == ["ALL"], name
        assert OURS[name]["environment"]["NATS_URL"] == "nats://nats:4222", name
    assert OURS.keys() == {*SERVICES, *(f"{database}-migrate" for database in DATABASES)}


@pytest.mark.parametrize("database", DATABASES)
def test_migrations_run_before_each_service_starts(database: str) -> None:
    migrate, service = OURS[f"{database}-migrate"], OURS[database]
    assert migrate["command"] == ["migrate"]
    assert migrate["restart"] == "on-failure"
    assert migrate["environment"] == service["environment"]
    assert migrate["depends_on"]["postgres"] == {"condition": "service_healthy"}
    assert service["depends_on"][f"{database}-migrate"] == {"condition": "service_completed_successfully"}


def test_each_image_is_built_once() -> None:
    builders = {service["image"]: name for name, service in OURS.items() if "build" in service}
    assert builders == {f"comfyfleet-{name}": name for name in SERVICES}
    assert len(builders) == len([name for name, service in OURS.items() if "build" in service])
    for name, service in OURS.items():
        if "build" in service:
            assert service["build"]["args"] == {"SERVICE": name}
        else:
            assert service["pull_policy"] == "never", name


@pytest.mark.requirement("S-79")
def test_only_the_proxy_is_published_and_only_on_loopback() -> None:
    services = read_compose()["services"]
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    without_profile = [name for name in published if "profiles" not in services[name]]
    assert without_profile == ["proxy"]
    for port in [port for ports in published.values() for port in ports]:
        address = VARIABLE.sub(lambda match: match["rest"], port)
        assert address.startswith("127.0.0.1:"), port
    assert not [name for name, service in services.items() if service.get("network_mode") or service.get("privileged")]


def test_every_container_has_a_memory_limit_and_bounded_logs() -> None:
    for name, service in read_compose()["services"].items():
        assert service["mem_limit"], name
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}, name
        assert service["restart"] == ("on-failure" if name.endswith("-migrate") else "unless-stopped"), name


def test_compose_services_wait_until_nats_is_healthy() -> None:
    services = read_compose()["services"]
    assert services["nats"]["healthcheck"]["test"][-1] == "http://127.0.0.1:8222/healthz"
    for name in SERVICES:
        assert services[name]["depends_on"]["nats"] == {"condition": "service_healthy"}, name


@pytest.mark.requirement("S-79")
def test_file_for_other_machines_publishes_only_nats_and_only_with_tls() -> None:
    services = yaml.safe_load((ROOT / "deploy/compose/gpu-boxes.yml").read_text())["services"]
    assert [name for name, service in services.items() if "ports" in service] == ["nats"]
    assert services["nats"]["ports"][0].startswith("${NATS_BIND:-127.0.0.1}:")
    assert "--tls" in services["nats"]["command"]
    assert {*SERVICES} == {
        name for name in services if services[name].get("environment", {}).get("NATS_URL") == "tls://nats:4222"
    }


def test_files_that_compose_mounts_exist() -> None:
    content = read_compose()
    volumes = [volume for service in content["services"].values() for volume in service.get("volumes", ())]
    for source in {volume.split(":")[0] for volume in volumes}:
        assert source in content["volumes"] or (ROOT / source).exists(), source
    assert (ROOT / "deploy/postgres/init.sh").stat().st_mode & 0o111, "not executable: PostgreSQL would source it"


@pytest.mark.requirement("S-79")
def test_no_service_runs_as_root() -> None:
    assert re.findall(r"^USER (\S+)$", DOCKERFILE.split("\nFROM ")[-1], re.MULTILINE) == ["10001:10001"]
    assert re.search(r"useradd .*--uid 10001 .*comfyfleet", DOCKERFILE)
    assert not [name for name, service in OURS.items() if "user" in service]


def test_image_contains_the_code_of_one_service() -> None:
    final = DOCKERFILE.split("\nFROM ")[-1]
    assert re.findall(r"^COPY (.+)$", final, re.MULTILINE) == [
        "--from=environment /venv /venv",
        "--from=code /code/${SERVICE} /app",
        "deploy/images/sbom.py deploy/locks/${SERVICE}.txt /usr/share/comfyfleet/",
    ]
    names = re.findall(r"for service in ([a-z ]+);", DOCKERFILE)
    assert [name.split() for name in names] == [list(SERVICES)]


@pytest.mark.parametrize("service", SERVICES)
def test_files_that_the_image_build_copies_exist_and_are_not_ignored(service: str) -> None:
    let_through = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for source in copied():
        path = source.replace("${SERVICE}", service)
        assert (ROOT / path).exists(), path
        assert any(path == allowed or path.startswith(f"{allowed}/") for allowed in let_through), path


@pytest.mark.parametrize("name", [*SERVICES, "uv"])
def test_lock_files_pin_package_hashes_and_contain_no_index_url(name: str) -> None:
    text = (LOCKS / f"{name}.txt").read_text()
    assert "://" not in text
    requirements = [entry for entry in re.split(r"\n(?=[a-z])", text) if not entry.startswith("#")]
    assert requirements
    for requirement in requirements:
        assert re.match(r"[\w.\-\[\],]+==\S+", requirement), requirement
        assert "--hash=sha256:" in requirement, requirement


def test_first_lines_of_the_compose_file_explain_how_to_create_the_first_admin() -> None:
    assert "run --rm auth bootstrap --username" in COMPOSE.read_text()
    assert yaml.safe_load(COMPOSE.read_text())["name"] == "comfyfleet"
