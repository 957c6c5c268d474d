"""``python -m generate [--check]``: write the generated files, or list stale ones."""

import sys
from pathlib import Path

from generate.asyncapi import asyncapi
from generate.dashboards import dashboards
from generate.errors import build_error_pages
from generate.metrics import build_metrics_page
from generate.nats import build_compose_config
from generate.openapi import build_console_openapi
from generate.requirements import requirements
from generate.schemas import schemas
from generate.settings import build_settings_page
from generate.states import build_state_machine_page
from generate.topology import topology

ROOT = Path(__file__).resolve().parents[2]


def build_generated_files() -> dict[Path, str]:
    """Return every generated file: its path relative to the repository root, and its content."""
    return {
        Path("contracts/asyncapi.json"): asyncapi(),
        Path("clients/console/openapi.json"): build_console_openapi(),
        Path("docs/topology.md"): topology(),
        Path("docs/state-machine.md"): build_state_machine_page(),
        Path("docs/errors.md"): build_error_pages(),
        Path("docs/requirements.md"): requirements(ROOT),
        Path("docs/operations/metrics.md"): build_metrics_page(),
        Path("docs/operations/settings.md"): build_settings_page(ROOT),
        Path("deploy/nats/nats.conf"): build_compose_config(),
        **{Path("deploy/monitoring/grafana/dashboards") / name: text for name, text in dashboards().items()},
        **{Path("contracts/schemas") / name: text for name, text in schemas().items()},
    }


def find_stale_files(root: Path = ROOT) -> list[Path]:
    """Return files that are missing or differ, and schemas of messages that no longer exist."""
    wanted = build_generated_files()
    wrong = [path for path, text in wanted.items() if _read_text(root / path) != text]
    orphans = [
        path.relative_to(root)
        for path in (root / "contracts/schemas").glob("*.json")
        if path.relative_to(root) not in wanted
    ]
    return sorted([*wrong, *orphans])


def main(argv: list[str] | None = None) -> None:
    """Write stale files. With ``--check`` write nothing and exit with status 1 if there are any."""
    found = find_stale_files()
    if "--check" in (sys.argv[1:] if argv is None else argv):
        for path in found:
            print(f"stale: {path} (run ./dev generate)")
        sys.exit(1 if found else 0)
    wanted = build_generated_files()
    for path in found:
        target = ROOT / path
        if path in wanted:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(wanted[path])
        else:
            target.unlink()
        print(f"wrote {path}" if path in wanted else f"removed {path}")


def _read_text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


if __name__ == "__main__":
    main()
