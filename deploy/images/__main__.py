"""``./dev images``: builds the image of each service with docker, podman or buildah, whichever works here."""

import os
import shlex
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Annotated

import typer

from contracts.registry import SERVICES
from images.builders import NoBuilder, find_builder

ROOT = Path(__file__).parents[2]
SBOM = "/usr/share/comfyfleet/sbom.cdx.json"  # also in deploy/Dockerfile


def main(
    services: Annotated[list[str] | None, typer.Argument(help="Services to build; all if none is named.")] = None,
    *,
    builder: Annotated[str, typer.Option(help="docker, podman or buildah; the first that works by default.")] = "",
    base_image: Annotated[
        str, typer.Option(envvar="BASE_IMAGE", help="Image with Python; the Dockerfile's by default.")
    ] = "",
    tag: Annotated[str, typer.Option(help="Tag of the images.")] = "latest",
    options: Annotated[
        str,
        typer.Option(envvar="IMAGES_BUILD_OPTIONS", help="More options of the build, such as mounts or a proxy."),
    ] = "",
) -> None:
    """Build comfyfleet-SERVICE:TAG for each service, and write its bill of materials to dist/."""
    if unknown := sorted(set(services or ()) - set(SERVICES)):
        raise typer.BadParameter(f"unknown service {', '.join(unknown)}; there are: {', '.join(SERVICES)}")
    try:
        images = find_builder(builder)
    except NoBuilder as missing:
        print(f"./dev images: {missing}", file=sys.stderr)
        raise typer.Exit(1) from None
    arguments = {**read_provenance(), **({"BASE_IMAGE": base_image} if base_image else {})}
    (ROOT / "dist").mkdir(exist_ok=True)
    print(f"building with {images.program}", flush=True)
    for service in services or SERVICES:
        began = time.monotonic()
        name = f"comfyfleet-{service}:{tag}"
        code = images.build(ROOT, name, {"SERVICE": service, **arguments}, shlex.split(options))
        if code:
            print(f"./dev images: {name} could not be built; see above", file=sys.stderr)
            raise typer.Exit(code)
        bill = ROOT / "dist" / f"comfyfleet-{service}.cdx.json"
        bill.write_bytes(images.read_file(name, SBOM))
        print(f"built {name} in {time.monotonic() - began:.0f} s; {bill.relative_to(ROOT)}", flush=True)


def read_provenance() -> dict[str, str]:
    """Return the build arguments that become labels: version, and commit and its date in a Git checkout."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    fields = subprocess.run(
        ["git", "-C", str(ROOT), "show", "--no-patch", "--format=%H %cI"],  # noqa: S607 - any git will do
        capture_output=True, text=True, check=False,
    ).stdout.split()  # fmt: skip
    commit = dict(zip(("REVISION", "CREATED"), fields, strict=True)) if fields else {}
    return {"VERSION": version, **commit}


if __name__ == "__main__":
    os.chdir(ROOT)
    typer.run(main)
