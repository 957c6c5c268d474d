"""``python -m generate [--check]``: write the generated files, or list stale ones."""

import sys
from pathlib import Path

from generate.asyncapi import build_asyncapi
from generate.dashboards import build_dashboards
from generate.errors import build_errors_page
from generate.metrics import build_metrics_page
from generate.nats import build_compose_config
from generate.openapi import build_console_openapi
from generate.requirements import build_requirements_page
from generate.schemas import build_schemas
from generate.settings import build_settings_page
from generate.states import build_state_machine_page
from generate.topology import build_topology_page

ROOT = Path(__file__).resolve().parents[2]


def build_generated_files() -> dict[Path, str]:
    """Return every generated file: its path relative to the repository root, and its content."""
    return {
        Path("contracts/asyncapi.json"): build_asyncapi(),
        Path("clients/console/openapi.json"): build_console_openapi(),
        Path("docs/topology.md"): build_topology_page(),
        Path("docs/state-machine.md"): build_state_machine_page(),
        Path("docs/errors.md"): build_errors_page(),
        Path("docs/requirements.md"): build_requirements_page(ROOT),
        Path("docs/operations/metrics.md"): build_metrics_page(),
        Path("docs/operations/settings.md"): build_settings_page(ROOT),
        Path("deploy/nats/nats.conf"): build_compose_config(),
        **{Path("deploy/monitoring/grafana/dashboards") / name: text for name, text in build_dashboards().items()},
        **{Path("contracts/schemas") / name: text for name, text in build_schemas().items()},
    }


def find_stale_files() -> list[Path]:
    """Return generated files that are missing or outdated, and schemas of messages that no longer exist."""
    generated = build_generated_files()
    stale = [path for path, text in generated.items() if _read_text(ROOT / path) != text]
    orphans = [
        path.relative_to(ROOT)
        for path in (ROOT / "contracts/schemas").glob("*.json")
        if path.relative_to(ROOT) not in generated
    ]
    return sorted([*stale, *orphans])


def main(argv: list[str] | None = None) -> None:
    """Write stale files. With ``--check`` write nothing and exit with status 1 if there are any."""
    stale = find_stale_files()
    if "--check" in (sys.argv[1:] if argv is None else argv):
        for path in stale:
            print(f"stale: {path} (run ./dev generate)")
        sys.exit(1 if stale else 0)
    generated = build_generated_files()
    for path in stale:
        target = ROOT / path
        if path in generated:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(generated[path])
        else:
            target.unlink()
        print(f"wrote {path}" if path in generated else f"removed {path}")


def _read_text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


if __name__ == "__main__":
    main()
