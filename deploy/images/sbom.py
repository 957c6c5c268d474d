"""Prints the software bill of materials of a service's image as CycloneDX 1.6 JSON.

Runs in the image's environment while the image is built, so it uses the standard library only::

    /venv/bin/python sbom.py auth deploy/locks/auth.txt

It lists what is installed: our packages, and every other package with the version, hashes and dependencies of the lock
file. It fails if an installed package is not the one of the lock file. Packages of the base image are not listed.
"""

import json
import re
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

OWN_PACKAGE_PREFIX = "comfyfleet-"
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "comfyfleet.invalid")

REQUIREMENT_LINE = re.compile(r"^(?P<name>[a-z0-9.-]+)(?:\[[^]]*\])?==(?P<version>[^\s;]+)")
HASH_OPTION = re.compile(r"--hash=sha256:([0-9a-f]{64})")
REQUIRED_BY_LINE = re.compile(r"^    #(?: via|  ) +(?P<name>[a-z0-9.-]+)(?:\[[^]]*\])?$")


@dataclass(frozen=True, slots=True)
class LockedPackage:
    """One package of a lock file; ``via`` are the packages that depend on it."""

    version: str
    hashes: tuple[str, ...]
    via: tuple[str, ...]


def read_lock(text: str) -> dict[str, LockedPackage]:
    """Return the packages of a lock file by name."""
    packages = {}
    for entry in re.split(r"\n(?=[a-z0-9])", text):
        if found := REQUIREMENT_LINE.match(entry):
            via = (match["name"] for match in map(REQUIRED_BY_LINE.match, entry.splitlines()) if match)
            packages[found["name"]] = LockedPackage(found["version"], tuple(HASH_OPTION.findall(entry)), tuple(via))
    return packages


def build_bill_of_materials(
    service: str, locked: dict[str, LockedPackage], installed: dict[str, Distribution]
) -> dict[str, Any]:
    """Return the CycloneDX document.

    Raises:
        ValueError: an installed package is not the one of the lock file.
    """
    root = OWN_PACKAGE_PREFIX + service
    for name, distribution in installed.items():
        if not name.startswith(OWN_PACKAGE_PREFIX) and (
            name not in locked or locked[name].version != distribution.version
        ):
            raise ValueError(f"{name} {distribution.version} is installed, but the lock file does not have it")
    purls = {name: f"pkg:pypi/{name}@{distribution.version}" for name, distribution in installed.items()}
    uses: dict[str, set[str]] = {name: set() for name in installed}
    for name in installed:
        for user in _find_dependents(name, locked, installed):
            uses[user].add(purls[name])
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(NAMESPACE, " ".join(sorted(purls.values()))).urn,
        "version": 1,
        "metadata": {"component": {"type": "application", **_build_component(root, locked, installed[root])}},
        "components": [
            {"type": "library", **_build_component(name, locked, installed[name])}
            for name in sorted(installed)
            if name != root
        ],
        "dependencies": [{"ref": purls[name], "dependsOn": sorted(uses[name])} for name in sorted(installed)],
    }


def _find_dependents(name: str, locked: dict[str, LockedPackage], installed: dict[str, Distribution]) -> Iterator[str]:
    """Return the installed packages that depend on one."""
    if name in locked:
        yield from (user for user in locked[name].via if user in installed)
        return
    for user, distribution in installed.items():
        if any(re.match(rf"{re.escape(name)}\b(?!-)", wanted) for wanted in distribution.requires or ()):
            yield user


def _build_component(name: str, locked: dict[str, LockedPackage], distribution: Distribution) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{distribution.version}"
    component: dict[str, Any] = {"bom-ref": purl, "name": name, "version": distribution.version, "purl": purl}
    if "License-Expression" in distribution.metadata:
        component["licenses"] = [{"expression": distribution.metadata["License-Expression"]}]
    if name in locked:
        files = [{"alg": "SHA-256", "content": digest} for digest in locked[name].hashes]
        component["externalReferences"] = [{"type": "distribution", "url": purl, "hashes": files}]
    return component


def main(service: str, lock: str) -> None:
    installed = {re.sub(r"[-_.]+", "-", found.name).lower(): found for found in distributions()}
    document = build_bill_of_materials(service, read_lock(Path(lock).read_text()), installed)
    json.dump(document, sys.stdout, indent=2)


if __name__ == "__main__":
    main(*sys.argv[1:])
