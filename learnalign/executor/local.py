"""Workers as processes of this machine, each with GPUs of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any, Literal

import psutil

from learnalign.errors import InputError, counted, one_line
from learnalign.isolation import environment, own_module


class Processes:
    """A process for each group of GPUs; a group may be empty, of a worker on the CPU."""

    host, counts_cpu = "127.0.0.1", True

    def __init__(self, groups: Sequence[Sequence[str]]) -> None:
        self._free = list(groups)
        self._room = len(groups)
        self._running: dict[int, tuple[Sequence[str], subprocess.Popen[bytes], IO[bytes]]] = {}

    def room(self) -> int:
        return self._room

    def start(self, number: int, address: tuple[str, int], key: bytes, job: dict[str, Any]) -> None:
        group, log = self._free.pop(0), _log()
        process = subprocess.Popen(
            own_module("learnalign.executor.process"),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=self._environment(group),
        )
        self._running[number] = group, process, log
        assert process.stdin is not None
        with suppress(OSError):  # it has ended; `ended` says how
            process.stdin.write(json.dumps([list(address), key.hex(), number, job]).encode() + b"\n")
            process.stdin.flush()  # and it stays open: the process ends with this one

    def _environment(self, group: Sequence[str]) -> dict[str, str]:
        chosen = {"CUDA_VISIBLE_DEVICES": ",".join(group)} if group else {}
        threads = max(1, (os.cpu_count() or 1) // self._room)
        return {"OMP_NUM_THREADS": str(threads), **environment(), **chosen}

    def ended(self, number: int) -> str | None:
        _, process, log = self._running[number]
        if (status := process.poll()) is None:
            return None
        log.seek(0)
        lines = [line for line in log.read().decode(errors="replace").splitlines() if line.strip()]
        how = f"ended by signal {-status}" if status < 0 else f"ended with exit status {status}"
        how += " (out of memory, if nobody killed it)" if -status == signal.SIGKILL else ""
        return one_line(f"its process {how}" + (f": {lines[-1].strip()}" if lines else ""), 500)

    def stop(self, number: int) -> None:
        group, process, log = self._running.pop(number)
        with suppress(psutil.Error):  # an engine in a process of its own would hold the GPU for some seconds more
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
        process.kill()
        process.wait()
        if process.stdin:
            process.stdin.close()
        log.close()
        self._free.append(group)

    def close(self) -> None:
        for number in list(self._running):
            self.stop(number)


def _log() -> IO[bytes]:
    return tempfile.TemporaryFile(prefix="learnalign-worker-")


def groups_of(devices: Literal["auto"] | int | Sequence[int], each: int) -> list[list[str]]:
    """The GPUs of each worker of this machine by `executor.devices`, `each` of them for one; raises InputError if there are too few."""
    visible = visible_gpus()
    if isinstance(devices, str):  # auto
        if not visible:
            return [[]]
        wanted = visible
    elif isinstance(devices, int):
        if not visible:
            return [[] for _ in range(devices)]
        wanted = visible[: devices * each]
        if len(wanted) < devices * each:
            raise InputError(
                f"executor.devices {devices}: {counted(devices, 'worker')} of {counted(each, 'GPU')} each need {devices * each}, "
                f"{len(visible)} are visible; give a lower number, or auto for all there are"
            )
    else:
        if missing := [gpu for gpu in devices if gpu >= len(visible)]:
            raise InputError(
                f"executor.devices {list(devices)}: there is no GPU {missing[0]}; {counted(len(visible), 'GPU')} visible, counted from 0"
            )
        wanted = [visible[gpu] for gpu in devices]
    groups = [wanted[i : i + each] for i in range(0, len(wanted) - each + 1, each)]
    if not groups:
        raise InputError(
            f"a worker needs {counted(each, 'GPU')}, {len(wanted)} given by executor.devices; give more, or lower gpus_per_worker"
        )
    return groups


def gpus_of_one(devices: Literal["auto"] | int | Sequence[int]) -> int:
    """The GPUs of a worker that takes as many of this machine's as `executor.devices` leaves it; 1 without GPUs."""
    if isinstance(devices, str):  # auto
        return max(1, len(visible_gpus()))
    return max(1, len(visible_gpus()) // devices) if isinstance(devices, int) else len(devices)


def visible_gpus() -> list[str]:
    """The GPUs that processes started here may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    if not torch.cuda.is_available():
        return []
    every = ",".join(str(gpu) for gpu in range(torch.cuda.device_count()))
    return os.environ.get("CUDA_VISIBLE_DEVICES", every).split(",")
