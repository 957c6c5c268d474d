"""Measures how long a running system takes to refuse a decompression bomb, and how much memory that costs.

    python -m tests.load.upload_bombs [--rounds 9]

Each file is uploaded several times. Time: from the first byte sent to the complete response. Memory: the growth of the
gateway's resident set at its peak, and the resident peak of its helper processes, sampled every two milliseconds. First
the bombs, then unusual but valid files for comparison.
"""

import argparse
import asyncio
import statistics
import sys
import threading
from contextlib import suppress
from pathlib import Path
from time import perf_counter

import httpx
from PIL import Image

from tests.kit.fleet import running_fleet
from tests.kit.images import bombs, encode_image, flat_png, text_bomb

TARGET_MS, TARGET_MIB = 100, 64
LOOK_S = 0.002
HELPER = b"picture_helper"
RESET_PEAK = "5"  # written to clear_refs, see proc(5)


class Helpers:
    """Samples the child processes of a process continuously."""

    def __init__(self, pid: int) -> None:
        self._tasks, self._over = Path(f"/proc/{pid}/task"), threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.started: set[str] = set()
        self.peak_mib = 0.0

    def __enter__(self) -> "Helpers":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(LOOK_S):
            for children in self._tasks.glob("*/children"):
                with suppress(OSError, StopIteration):
                    for pid in children.read_text().split():
                        # before the exec, the process is a copy of the gateway
                        if HELPER in Path(f"/proc/{pid}/cmdline").read_bytes():
                            self.started.add(pid)
                            self.peak_mib = max(self.peak_mib, memory_mib(int(pid), "VmHWM"))


def memory_mib(pid: int, line: str) -> float:
    """Return a line of ``/proc/<pid>/status``."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(each.split()[1]) for each in lines if each.startswith(f"{line}:")) / 1024


def reset_peak_memory(pid: int) -> float:
    """Reset the peak memory of a process; returns its current memory."""
    Path(f"/proc/{pid}/clear_refs").write_text(RESET_PEAK)
    return memory_mib(pid, "VmRSS")


async def measure(client: httpx.AsyncClient, content: bytes, rounds: int) -> tuple[str, list[float]]:
    """Return the response and the latencies, milliseconds."""
    took, says = [], ""
    for _ in range(rounds):
        begun = perf_counter()
        answer = await client.post("/upload", content=content, headers={"Content-Type": "image/png"})
        took.append((perf_counter() - begun) * 1000)
        says = answer.json().get("code", str(answer.status_code))
        if answer.is_success:
            (await client.delete(f"/uploads/{answer.json()['id']}")).raise_for_status()
    return says, took


async def main(rounds: int) -> int:
    """Print one row per file; returns 1 if a bomb exceeds the target."""
    noise = Image.effect_noise((4096, 4096), 20)
    cases = bombs() | {
        f"{kind.decode()} of 200 MB, compressed": text_bomb(200_000_000, kind) for kind in (b"zTXt", b"iTXt", b"iCCP")
    }
    count = len(cases)
    cases |= {
        "1024 x 1024 PNG, taken": encode_image(Image.effect_noise((1024, 1024), 20)),
        "2048 x 2048 PNG in 10,000 chunks, taken": flat_png(2048, parts=10_000),
        "4096 x 4096 JPEG, taken": encode_image(noise, "JPEG", quality=75),
        "4096 x 4096 CMYK JPEG, taken": encode_image(Image.merge("CMYK", [noise] * 4), "JPEG", quality=30),
    }
    within = True
    async with running_fleet("--nodes", "1") as fleet, fleet.client() as client:
        gateway = fleet.pid("gateway")
        await measure(client, encode_image(Image.new("L", (64, 64))), 3)  # warm-up: imports modules
        print(
            f"{'file':42}{'bytes':>11}{'median ms':>11}{'worst':>8}{'gateway MiB':>13}{'helpers':>9}{'their MiB':>11}"
        )
        for number, (name, content) in enumerate(cases.items()):
            before = reset_peak_memory(gateway)
            with Helpers(gateway) as helpers:
                says, took = await measure(client, content, rounds)
            grew = memory_mib(gateway, "VmHWM") - before
            print(
                f"{name:42}{len(content):>11,}{statistics.median(took):>11.1f}{max(took):>8.1f}{grew:>13.1f}"
                f"{len(helpers.started):>9}{helpers.peak_mib:>11.1f}  {says}"
            )
            if number < count:
                within = within and max(took) < TARGET_MS and grew + helpers.peak_mib < TARGET_MIB
    print(f"every bomb below {TARGET_MS} ms and {TARGET_MIB} MiB: {'yes' if within else 'no'}")
    return 0 if within else 1


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=9, help="uploads of each file")
    sys.exit(asyncio.run(main(arguments.parse_args().rounds)))
