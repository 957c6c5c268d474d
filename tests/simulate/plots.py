"""Plots the results of the policy simulator as PNG files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.simulate.compare import Run


class NoPlots(Exception):
    """Plots need matplotlib, which is not installed. Run ./dev again to install it; results.json has all figures."""

    def __str__(self) -> str:
        return str(self.__doc__)


def write_plots(folder: Path, runs: Sequence[Run]) -> list[Path]:
    """Draw the runs of one seed, each a policy. Returns the files.

    Raises:
        NoPlots: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - everything else works without it
    except ImportError as missing:
        raise NoPlots from missing
    drawings = {"swaps": _draw_swaps, "utilization": _draw_utilization, "waits": _draw_waits, "tenants": _draw_tenants}
    paths = []
    for name, draw in drawings.items():
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        draw(figure.subplots(), runs)
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi=120)
    return paths


def _draw_swaps(axes: Any, runs: Sequence[Run]) -> None:
    bars = axes.bar([run.policy for run in runs], [run.figures.loads for run in runs])
    axes.bar_label(bars)
    for run in runs:
        if run.least_loads is not None:
            axes.axhline(run.least_loads, color="black", linestyle=":", label=f"lower bound for {run.policy}")
            axes.legend()
    axes.set(title="Jobs that loaded a model", ylabel="jobs")


def _draw_utilization(axes: Any, runs: Sequence[Run]) -> None:
    names = [run.policy for run in runs]
    running = [100 * run.figures.running for run in runs]
    axes.bar(names, running, label="running jobs")
    loading = [100 * (run.figures.busy - run.figures.running) for run in runs]
    axes.bar(names, loading, bottom=running, label="loading models")
    axes.set(title="Time of the nodes until the last job ended", ylabel="%", ylim=(0, 100))
    axes.legend()


def _draw_waits(axes: Any, runs: Sequence[Run]) -> None:
    for run in runs:
        starts, submissions = run.ledger.starts, run.workload.submissions
        waits = sorted(start - one.at for start, one in zip(starts, submissions, strict=True))
        step = max(1, len(waits) // 1000)
        parts = [100 * (number + 1) / len(waits) for number in range(len(waits))]
        axes.plot(waits[::step], parts[::step], label=run.policy)
    axes.set(title="Jobs that had started within a time", xlabel="seconds after submission", ylabel="% of jobs")
    axes.legend()


def _draw_tenants(axes: Any, runs: Sequence[Run]) -> None:
    width = 0.8 / len(runs)
    for number, run in enumerate(runs):
        waits = list(run.figures.waits_by_tenant.values())[:20]
        places = [tenant + number * width for tenant in range(len(waits))]
        axes.bar(places, [one.p50 for one in waits], width, label=f"{run.policy}: p50, line: p99")
        axes.vlines(places, 0, [one.p99 for one in waits], color="black", linewidth=1)
    names = list(runs[0].figures.waits_by_tenant)[:20]
    axes.set_xticks([tenant + 0.4 - width / 2 for tenant in range(len(names))], names, rotation=30)
    axes.set(title="Waits by tenant (the first 20)", ylabel="seconds")
    axes.legend(fontsize="small")
