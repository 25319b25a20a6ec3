"""How much of the disk's rate is left when gradient shards are read with their digests checked: `select`'s reading.

Both sides read the same files of a run directory in turn, one after another, after the page cache was dropped (as root; else
from the cache, which is faster than any disk): plain reads of all bytes, and `read_safetensors`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from learnalign.config import build_config
from learnalign.rundir import RunDir
from learnalign.rundir.files import read_safetensors, write_safetensors
from learnalign.rundir.machine import describe_machine, versions

DROP = Path("/proc/sys/vm/drop_caches")


def plain(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        content = bytearray(path.stat().st_size)
        view, start = memoryview(content), 0
        while count := file.readinto(view[start:]):
            start += count


def drop_cache() -> bool:
    """Whether the page cache could be dropped."""
    try:
        DROP.write_text("3\n")
    except OSError:
        return False
    return True


def seconds(read: Callable[[Path], object], files: list[Path]) -> tuple[float, float]:
    """By the clock, and of CPU time."""
    began, cpu = time.perf_counter(), time.process_time()
    for file in files:
        read(file)
    return time.perf_counter() - began, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        run = RunDir.create(Path(folder) / "run", build_config({"model": {"name": "m"}, "data": {"path": "d"}}))
        files = [run.path / "gradients" / f"part-{index:05d}.safetensors" for index in range(options.shards)]
        for file in files:
            write_safetensors(file, {"features": torch.randn(256, 8192), "norms": torch.randn(256)}, {}, "f")
        size = sum(file.stat().st_size for file in files)
        cold, times = True, {"plain": [], "checked": []}
        for _ in range(options.rounds):
            for name, read in (("plain", plain), ("checked", read_safetensors)):
                cold = drop_cache() and cold
                times[name].append(seconds(read, files))
    rates = {name: size / 1e9 / statistics.median(clock for clock, _ in each) for name, each in times.items()}
    print(
        json.dumps(
            {
                "files": options.shards,
                "GB": round(size / 1e9, 2),
                "page cache": "dropped" if cold else "warm",
                "GB/s": {name: round(rate, 2) for name, rate in rates.items()},
                "ratio": round(rates["checked"] / rates["plain"], 3),
                "CPU s": {name: round(statistics.median(cpu for _, cpu in each), 2) for name, each in times.items()},
                "machine": describe_machine(),
                "versions": {name: versions()[name] for name in ("python", "torch")},
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
