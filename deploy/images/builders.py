"""The programs that build images: docker, podman and buildah."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("docker", "podman", "buildah")


class NoBuilder(Exception):
    """No program on this machine can build images."""


@dataclass(frozen=True, slots=True)
class Builder:
    """One of the programs.

    Attributes:
        program: its name on PATH.
        options: its own options of a build. Podman and buildah write OCI images by default, which cannot have a
            health check, and buildah keeps no layers.
    """

    program: str
    options: tuple[str, ...]

    def build(self, root: Path, name: str, arguments: dict[str, str], options: list[str]) -> int:
        """Build one image from the checkout; returns the program's exit status."""
        given = [word for key, value in arguments.items() for word in ("--build-arg", f"{key}={value}")]
        command = [self.program, "build", *self.options, *options, *given]
        return subprocess.call([*command, "--file", str(root / "deploy/Dockerfile"), "--tag", name, str(root)])

    def read_file(self, name: str, path: str) -> bytes:
        """Return the content of a file in an image."""
        if self.program != "buildah":
            return _run_command(self.program, "run", "--rm", "--network", "none", "--entrypoint", "cat", name, path)
        container = _run_command("buildah", "from", "--pull-never", name).decode().strip()
        try:
            return _run_command("buildah", "run", container, "--", "cat", path)
        finally:
            _run_command("buildah", "rm", container)


BUILDERS = {
    "docker": Builder("docker", ()),
    "podman": Builder("podman", ("--format", "docker")),
    "buildah": Builder("buildah", ("--format", "docker", "--layers")),
}


def find_builder(wanted: str = "") -> Builder:
    """Return the wanted program, or the first that works: a docker without its daemon does not.

    Raises:
        NoBuilder: no program works.
    """
    if wanted and wanted not in BUILDERS:
        raise NoBuilder(f"unknown builder {wanted!r}; use one of {', '.join(PROGRAMS)}")
    faults = []
    for program in (wanted,) if wanted else PROGRAMS:
        if shutil.which(program) is None:
            faults.append(f"{program} is not installed")
        elif subprocess.run([program, "info"], capture_output=True, check=False).returncode:
            faults.append(f"{program} is installed but `{program} info` fails")
        else:
            return BUILDERS[program]
    raise NoBuilder(f"no program here can build images: {'; '.join(faults)}. Install one of {', '.join(PROGRAMS)}.")


def _run_command(*command: str) -> bytes:
    return subprocess.run(command, capture_output=True, check=True).stdout
